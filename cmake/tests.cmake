# A program for each cc/*/*_test.cc, against the kernels' objects, so that a test
# reaches what the library does not export.
#
# Those of the GPU's side run on a driver of the tests' own, which runs the
# kernels as C++ (tests/cuda_host).
file(GLOB host_kernels CONFIGURE_DEPENDS cc/*/*_gpu.cu)
add_library(fake_cuda SHARED tests/cuda_host/fake_driver.cc ${host_kernels})
target_include_directories(fake_cuda PRIVATE cc)
target_compile_options(fake_cuda PRIVATE -Wall -O1 -ffp-contract=off)
set_source_files_properties(${host_kernels} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++")
set_target_properties(fake_cuda PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})

# What shows a GPU to TensorFlow, on that driver, and to XLA, which is loaded
# before TensorFlow and so not linked with it.
if(TF_PAIRWISE_TENSORFLOW)
  add_library(fake_device MODULE tests/cuda_host/fake_device.cc)
  set(tensorflow TENSORFLOW_${TF_PAIRWISE_FIRST_TENSORFLOW})
  target_link_libraries(fake_device PRIVATE tensorflow_${TF_PAIRWISE_FIRST_TENSORFLOW})
  set(stand_ins fake_device)
  if(${tensorflow}_xla)
    add_library(fake_xla MODULE tests/cuda_host/fake_xla.cc)
    target_include_directories(fake_xla SYSTEM PRIVATE ${${tensorflow}_include})
    list(APPEND stand_ins fake_xla)
  endif()
  foreach(stand_in ${stand_ins})
    target_compile_definitions(${stand_in} PRIVATE NDEBUG)
    target_compile_options(${stand_in} PRIVATE -Wall -O1)
    target_link_libraries(${stand_in} PRIVATE ${CMAKE_DL_LIBS})
    set_target_properties(${stand_in} PROPERTIES
      LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR} CXX_STANDARD ${${tensorflow}_cxx_standard})
  endforeach()
endif()

file(GLOB test_sources CONFIGURE_DEPENDS cc/*/*_test.cc)
find_package(Threads REQUIRED)
foreach(source ${test_sources})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_compile_options(${name} PRIVATE -Wall -ffp-contract=off)
  target_link_libraries(${name} PRIVATE kernel_objects Threads::Threads)
  # On the best instruction set and, where the processor has them, on others.
  foreach(isa "" avx2 sse4)
    set(test ${name}_${isa})
    if(NOT isa)
      set(test ${name})
    endif()
    add_test(NAME ${test} COMMAND ${name})
    set_tests_properties(${test} PROPERTIES ENVIRONMENT
      "TF_PAIRWISE_ISA=${isa};TF_PAIRWISE_CUDA_DRIVER=$<TARGET_FILE:fake_cuda>")
  endforeach()
endforeach()

# libtf_pairwise_kernels.so. Its include path is cc/ and Highway's folder and
# nothing else, so that a kernel that includes TensorFlow, XLA or Python does not
# compile. No -march: simd/ picks the instruction set at run time.
file(GLOB kernel_sources CONFIGURE_DEPENDS cc/*/*.cc)
list(FILTER kernel_sources EXCLUDE REGEX "(_test|_op|_xla)\\.cc$|/adapters/")

add_library(kernel_objects OBJECT ${kernel_sources})
target_include_directories(kernel_objects PUBLIC ${PROJECT_SOURCE_DIR}/cc)
target_link_libraries(kernel_objects PUBLIC highway)
target_compile_options(kernel_objects PRIVATE
  "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-fno-exceptions;-fno-math-errno;-ffp-contract=off>")

add_library(tf_pairwise_kernels SHARED $<TARGET_OBJECTS:kernel_objects>)
target_include_directories(tf_pairwise_kernels PUBLIC ${PROJECT_SOURCE_DIR}/cc)

if(TF_PAIRWISE_SANITIZE)
  set(sanitize -fsanitize=${TF_PAIRWISE_SANITIZE} -fno-omit-frame-pointer -g)
  if(TF_PAIRWISE_SANITIZE MATCHES "undefined")
    list(APPEND sanitize -fno-sanitize-recover=all)
  endif()
  target_compile_options(kernel_objects PUBLIC ${sanitize} -O1)
  target_link_options(kernel_objects PUBLIC ${sanitize})
  target_link_options(tf_pairwise_kernels PRIVATE ${sanitize})
else()
  # Only what is marked TF_PAIRWISE_EXPORT leaves: not even the standard
  # library's templates, which another library could otherwise take from here,
  # compiled for another instruction set.
  target_link_options(tf_pairwise_kernels PRIVATE
    -Wl,--no-undefined -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/kernels.map)
  set_target_properties(tf_pairwise_kernels PROPERTIES
    LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/kernels.map)
endif()

# CUDA: the .cu.cc files go through nvcc, with the runtime linked statically, so
# that one wheel serves machines with and without it.
set(TF_PAIRWISE_WITH_CUDA OFF)
file(GLOB cuda_sources CONFIGURE_DEPENDS cc/cuda/*.cu.cc cc/*/*_gpu.cu.cc)
if(cuda_sources AND NOT TF_PAIRWISE_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES all-major)
    endif()
    enable_language(CUDA)
    set(TF_PAIRWISE_WITH_CUDA ON)
    set_source_files_properties(${cuda_sources} PROPERTIES LANGUAGE CUDA)
    target_sources(kernel_objects PRIVATE ${cuda_sources})
    target_compile_definitions(kernel_objects PUBLIC TF_PAIRWISE_WITH_CUDA=1)
    target_compile_definitions(tf_pairwise_kernels PUBLIC TF_PAIRWISE_WITH_CUDA=1)
    set_target_properties(kernel_objects PROPERTIES
      CUDA_STANDARD 17 CUDA_VISIBILITY_PRESET hidden)
    set_target_properties(kernel_objects tf_pairwise_kernels PROPERTIES
      CUDA_RUNTIME_LIBRARY Static)
    set_target_properties(tf_pairwise_kernels PROPERTIES LINKER_LANGUAGE CUDA)
  elseif(TF_PAIRWISE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "TF_PAIRWISE_CUDA=ON, but there is no CUDA compiler (nvcc)")
  else()
    message(STATUS "No CUDA compiler: the CUDA kernels are left out")
  endif()
endif()

install(TARGETS tf_pairwise_kernels LIBRARY DESTINATION tf_pairwise COMPONENT native)

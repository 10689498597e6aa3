# A program for each cc/*/*_test.cc, against the kernels' objects, so that a test
# reaches what the library does not export.
file(GLOB test_sources CONFIGURE_DEPENDS cc/*/*_test.cc)
find_package(Threads REQUIRED)
foreach(source ${test_sources})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_compile_options(${name} PRIVATE -Wall -ffp-contract=off)
  target_link_libraries(${name} PRIVATE kernel_objects Threads::Threads)
  # On the best instruction set and, where the processor has them, on others.
  add_test(NAME ${name} COMMAND ${name})
  foreach(isa avx2 sse4)
    add_test(NAME ${name}_${isa} COMMAND ${name})
    set_tests_properties(${name}_${isa} PROPERTIES ENVIRONMENT "TF_PAIRWISE_ISA=${isa}")
  endforeach()
endforeach()

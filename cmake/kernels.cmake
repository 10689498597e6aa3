# libtf_pairwise_kernels.so. Its include path is cc/ and Highway's folder and
# nothing else, so that a kernel that includes TensorFlow, XLA or Python does not
# compile. No -march: simd/ picks the instruction set at run time.
file(GLOB kernel_sources CONFIGURE_DEPENDS cc/*/*.cc)
list(FILTER kernel_sources EXCLUDE REGEX "(_test|_op|_xla)\\.cc$|/adapters/")

add_library(kernel_objects OBJECT ${kernel_sources})
target_include_directories(kernel_objects PUBLIC ${PROJECT_SOURCE_DIR}/cc)
target_link_libraries(kernel_objects PUBLIC highway ${CMAKE_DL_LIBS})
target_compile_options(kernel_objects PRIVATE
  "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-fno-exceptions;-fno-math-errno;-ffp-contract=off>")

add_library(tf_pairwise_kernels SHARED $<TARGET_OBJECTS:kernel_objects>)
target_include_directories(tf_pairwise_kernels PUBLIC ${PROJECT_SOURCE_DIR}/cc)
target_link_libraries(tf_pairwise_kernels PRIVATE ${CMAKE_DL_LIBS})

tf_pairwise_make_portable(kernel_objects)
tf_pairwise_make_portable(tf_pairwise_kernels)

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

install(TARGETS tf_pairwise_kernels LIBRARY DESTINATION tf_pairwise COMPONENT native)

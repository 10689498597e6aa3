# _ops.so: the ops' registrations, shape functions and kernels, for a GPU too
# where the library has kernels for one, and their XLA lowerings where TensorFlow
# has the headers.
file(GLOB op_sources CONFIGURE_DEPENDS cc/adapters/*.cc cc/*/*_op.cc)
file(GLOB xla_sources CONFIGURE_DEPENDS cc/adapters/*_xla.cc cc/*/*_xla.cc)
list(REMOVE_ITEM op_sources ${xla_sources})
list(FILTER op_sources EXCLUDE REGEX "_test\\.cc$")

set(TF_PAIRWISE_WITH_XLA OFF)
if(TENSORFLOW_XLA AND NOT TF_PAIRWISE_XLA STREQUAL "OFF")
  set(TF_PAIRWISE_WITH_XLA ON)
  list(APPEND op_sources ${xla_sources})
elseif(TF_PAIRWISE_XLA STREQUAL "ON")
  message(FATAL_ERROR "TF_PAIRWISE_XLA=ON, but TensorFlow ${TENSORFLOW_version} lacks XLA's headers")
else()
  message(STATUS "The XLA kernels are left out")
endif()

add_library(_ops MODULE ${op_sources})
# -DNDEBUG is not a choice: TensorFlow's inline reference counts abort without.
target_compile_definitions(_ops PRIVATE NDEBUG)
if(TF_PAIRWISE_WITH_DEVICE)
  target_compile_definitions(_ops PRIVATE TF_PAIRWISE_WITH_GPU=1)
endif()
target_compile_options(_ops PRIVATE -Wall -O2)
target_link_libraries(_ops PRIVATE tf_pairwise_kernels tensorflow)
if(TF_PAIRWISE_WITH_XLA)
  target_include_directories(_ops SYSTEM PRIVATE
    ${TENSORFLOW_include}/external/highwayhash
    ${TENSORFLOW_include}/external/farmhash_archive/src)
  target_compile_definitions(_ops PRIVATE TF_PAIRWISE_WITH_XLA=1)
  target_link_libraries(_ops PRIVATE ${TENSORFLOW_cc})
endif()
set_target_properties(_ops PROPERTIES PREFIX "" CXX_STANDARD ${TENSORFLOW_cxx_standard})
install(TARGETS _ops LIBRARY DESTINATION tf_pairwise COMPONENT native)

# _ops_2.21.so, for each TensorFlow: the ops' registrations, shape functions and
# kernels, for a GPU too where the library has kernels for one, and their XLA
# lowerings where TensorFlow has the headers.
file(GLOB op_sources CONFIGURE_DEPENDS cc/adapters/*.cc cc/*/*_op.cc)
file(GLOB xla_sources CONFIGURE_DEPENDS cc/adapters/*_xla.cc cc/*/*_xla.cc)
list(REMOVE_ITEM op_sources ${xla_sources})
list(FILTER op_sources EXCLUDE REGEX "_test\\.cc$")

foreach(minor IN LISTS TF_PAIRWISE_TENSORFLOWS)
  set(ops _ops_${minor})
  add_library(${ops} MODULE ${op_sources})
  # -DNDEBUG is not a choice: TensorFlow's inline reference counts abort without.
  target_compile_definitions(${ops} PRIVATE NDEBUG)
  if(TF_PAIRWISE_WITH_DEVICE)
    target_compile_definitions(${ops} PRIVATE TF_PAIRWISE_WITH_GPU=1)
  endif()
  target_compile_options(${ops} PRIVATE -Wall -O2)
  target_link_libraries(${ops} PRIVATE tf_pairwise_kernels tensorflow_${minor})
  tf_pairwise_make_portable(${ops})

  if(TF_PAIRWISE_XLA STREQUAL "OFF")
    set(TENSORFLOW_${minor}_xla false)
  elseif(TENSORFLOW_${minor}_xla)
    set(include ${TENSORFLOW_${minor}_include})
    target_sources(${ops} PRIVATE ${xla_sources})
    target_include_directories(${ops} SYSTEM PRIVATE
      ${include}/external/highwayhash ${include}/external/farmhash_archive/src)
    target_compile_definitions(${ops} PRIVATE TF_PAIRWISE_WITH_XLA=1)
    target_link_libraries(${ops} PRIVATE ${TENSORFLOW_${minor}_cc})
  elseif(TF_PAIRWISE_XLA STREQUAL "ON")
    message(FATAL_ERROR "TF_PAIRWISE_XLA=ON, but TensorFlow ${TENSORFLOW_${minor}_version} "
            "lacks XLA's headers")
  else()
    message(STATUS "TensorFlow ${TENSORFLOW_${minor}_version}: the XLA kernels are left out")
  endif()
  set_target_properties(${ops} PROPERTIES
    PREFIX "" CXX_STANDARD ${TENSORFLOW_${minor}_cxx_standard})
  install(TARGETS ${ops} LIBRARY DESTINATION tf_pairwise COMPONENT native)
endforeach()

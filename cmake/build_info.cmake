# _build_info.json: what was built, for the errors at import and `info`. No path
# of this machine is in it.
macro(tf_pairwise_json_bool out value)
  if(${value})
    set(${out} true)
  else()
    set(${out} false)
  endif()
endmacro()
tf_pairwise_json_bool(info_xla "${TF_PAIRWISE_WITH_XLA}")
set(info_tensorflow null)
set(info_abi null)
if(TF_PAIRWISE_TENSORFLOW)
  set(info_tensorflow "\"${TENSORFLOW_version}\"")
  if("${TENSORFLOW_definitions}" MATCHES "_GLIBCXX_USE_CXX11_ABI=([01])")
    set(info_abi ${CMAKE_MATCH_1})
  endif()
endif()
# The architectures that the formulas compile for, and those of the kernels.
set(info_device null)
set(info_cuda null)
if(TF_PAIRWISE_WITH_DEVICE)
  list(JOIN TF_PAIRWISE_CUDA_ARCHITECTURES " " info_cuda)
  set(info_cuda "\"${info_cuda}\"")
  list(JOIN TF_PAIRWISE_DEVICE_ARCHITECTURES ", " info_device)
  set(info_device "\"${info_device}\"")
endif()
set(info_sanitize null)
if(TF_PAIRWISE_SANITIZE)
  set(info_sanitize "\"${TF_PAIRWISE_SANITIZE}\"")
endif()

file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/tf_pairwise/_build_info.json CONTENT [[{
  "version": "@tf_pairwise_version@",
  "tensorflow": @info_tensorflow@,
  "cxx11_abi": @info_abi@,
  "compiler": "@CMAKE_CXX_COMPILER_ID@ @CMAKE_CXX_COMPILER_VERSION@",
  "python": "@PYTHON_VERSION@",
  "highway": "@HWY_VERSION@",
  "cuda": @info_cuda@,
  "device_formulas": @info_device@,
  "xla": @info_xla@,
  "sanitize": @info_sanitize@
}
]] @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/tf_pairwise/_build_info.json DESTINATION tf_pairwise
        COMPONENT native)

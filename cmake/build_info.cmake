# _build_info.json: what was built, for the errors at import and `info`. No path
# of this machine is in it.
set(info_ops "")
foreach(minor IN LISTS TF_PAIRWISE_TENSORFLOWS)
  string(APPEND info_ops
    "${comma}\n    \"${minor}\": {\"tensorflow\": \"${TENSORFLOW_${minor}_version}\", "
    "\"cxx11_abi\": ${TENSORFLOW_${minor}_abi}, \"xla\": ${TENSORFLOW_${minor}_xla}}")
  set(comma ",")
endforeach()
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
  "ops": {@info_ops@},
  "compiler": "@CMAKE_CXX_COMPILER_ID@ @CMAKE_CXX_COMPILER_VERSION@",
  "python": "@PYTHON_VERSION@",
  "highway": "@HWY_VERSION@",
  "cuda": @info_cuda@,
  "device_formulas": @info_device@,
  "sanitize": @info_sanitize@
}
]] @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/tf_pairwise/_build_info.json DESTINATION tf_pairwise
        COMPONENT native)

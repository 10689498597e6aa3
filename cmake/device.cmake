# What a GPU will read is compiled for one in every build: cc/cuda/formulas.cu
# calls every formula, by NVRTC from PyPI (nvidia-cuda-nvrtc-cu12), which needs
# no toolkit, driver or GPU.
set(TF_PAIRWISE_DEVICE_ARCHITECTURES sm_70 sm_90)
set(TF_PAIRWISE_WITH_DEVICE OFF)
set(nvrtc_compile ${PROJECT_SOURCE_DIR}/cmake/nvrtc_compile.py)
set(TF_PAIRWISE_NVRTC_LIBRARY "")
if(NOT TF_PAIRWISE_CUDA STREQUAL "OFF")
  execute_process(COMMAND ${TF_PAIRWISE_PYTHON} ${nvrtc_compile} --find
                  OUTPUT_VARIABLE TF_PAIRWISE_NVRTC_LIBRARY ERROR_QUIET)
  if(TF_PAIRWISE_NVRTC_LIBRARY)
    set(TF_PAIRWISE_WITH_DEVICE ON)
    file(GLOB device_headers CONFIGURE_DEPENDS cc/core/*.h cc/metric/*.h cc/*/*_pair-inl.h)
    set(stamp ${CMAKE_BINARY_DIR}/formulas.stamp)
    set(architectures "")
    foreach(architecture ${TF_PAIRWISE_DEVICE_ARCHITECTURES})
      list(APPEND architectures --arch ${architecture})
    endforeach()
    add_custom_command(
      OUTPUT ${stamp}
      COMMAND ${TF_PAIRWISE_PYTHON} ${nvrtc_compile} ${PROJECT_SOURCE_DIR}/cc/cuda/formulas.cu
              ${CMAKE_BINARY_DIR}/formulas --include ${PROJECT_SOURCE_DIR}/cc ${architectures}
      COMMAND ${CMAKE_COMMAND} -E touch ${stamp}
      DEPENDS ${nvrtc_compile} ${PROJECT_SOURCE_DIR}/cc/cuda/formulas.cu ${device_headers}
      COMMENT "Formulas for a GPU (${TF_PAIRWISE_DEVICE_ARCHITECTURES})"
      VERBATIM)
    add_custom_target(device_formulas ALL DEPENDS ${stamp})
  elseif(TF_PAIRWISE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "TF_PAIRWISE_CUDA=ON, but there is no NVRTC: "
            "pip install nvidia-cuda-nvrtc-cu12==12.5.82, or set TF_PAIRWISE_NVRTC")
  else()
    message(STATUS "No NVRTC: the formulas are not compiled for a GPU")
  endif()
endif()

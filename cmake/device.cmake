# Device code, compiled in every build by NVRTC from PyPI
# (nvidia-cuda-nvrtc-cu12), which needs no toolkit, driver or GPU.
#
# cc/*/*_gpu.cu are the kernels, which the library holds: machine code for the
# architectures below, and PTX of the last for newer GPUs. cc/cuda/formulas.cu
# calls every formula, and is only compiled.
set(TF_PAIRWISE_CUDA_ARCHITECTURES "sm_70;sm_80;sm_90;compute_90" CACHE STRING
    "What kernels are compiled for: sm_* for machine code, compute_* for PTX")
set(TF_PAIRWISE_DEVICE_ARCHITECTURES sm_70 sm_90)
set(TF_PAIRWISE_WITH_DEVICE OFF)
set(TF_PAIRWISE_NVRTC_LIBRARY "")
set(nvrtc_compile ${PROJECT_SOURCE_DIR}/cmake/nvrtc_compile.py)
set(device_dir ${CMAKE_BINARY_DIR}/device)
file(MAKE_DIRECTORY ${device_dir})

if(NOT TF_PAIRWISE_CUDA STREQUAL "OFF")
  execute_process(COMMAND ${TF_PAIRWISE_PYTHON} ${nvrtc_compile} --find
                  OUTPUT_VARIABLE TF_PAIRWISE_NVRTC_LIBRARY ERROR_QUIET)
  if(TF_PAIRWISE_NVRTC_LIBRARY)
    set(TF_PAIRWISE_WITH_DEVICE ON)
  elseif(TF_PAIRWISE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "TF_PAIRWISE_CUDA=ON, but there is no NVRTC: "
            "pip install nvidia-cuda-nvrtc-cu12==12.5.82, or set TF_PAIRWISE_NVRTC")
  else()
    message(STATUS "No NVRTC: the library will hold no kernels for a GPU")
  endif()
endif()

# Adds the compilation of a .cu file for an architecture, whose output is `out`.
function(tf_pairwise_compile_device source architecture out)
  get_filename_component(file ${source} NAME_WE)
  get_filename_component(folder ${source} DIRECTORY)
  get_filename_component(folder ${folder} NAME)
  set(stem ${device_dir}/${folder}_${file})
  set(ending cubin)
  if(architecture MATCHES "^compute_")
    set(ending ptx)
  endif()
  set(made ${stem}.${architecture}.${ending})
  add_custom_command(
    OUTPUT ${made}
    BYPRODUCTS ${stem}.${architecture}.log
    COMMAND ${TF_PAIRWISE_PYTHON} ${nvrtc_compile} ${source} ${stem} --depfile
            --include ${PROJECT_SOURCE_DIR}/cc --arch ${architecture}
    DEPENDS ${nvrtc_compile} ${source}
    DEPFILE ${stem}.${architecture}.d
    COMMENT "Compiling ${folder}/${file}.cu for ${architecture}"
    VERBATIM)
  set(${out} ${made} PARENT_SCOPE)
endfunction()

set(device_images "")
if(TF_PAIRWISE_WITH_DEVICE)
  set(formulas "")
  foreach(architecture ${TF_PAIRWISE_DEVICE_ARCHITECTURES})
    tf_pairwise_compile_device(${PROJECT_SOURCE_DIR}/cc/cuda/formulas.cu ${architecture} made)
    list(APPEND formulas ${made})
  endforeach()
  add_custom_target(device_formulas ALL DEPENDS ${formulas})

  file(GLOB device_sources CONFIGURE_DEPENDS cc/*/*_gpu.cu)
  foreach(source ${device_sources})
    foreach(architecture ${TF_PAIRWISE_CUDA_ARCHITECTURES})
      tf_pairwise_compile_device(${source} ${architecture} made)
      list(APPEND device_images ${made})
    endforeach()
  endforeach()
endif()

set(embed_kernels ${PROJECT_SOURCE_DIR}/cmake/embed_kernels.py)
set(device_images_source ${device_dir}/images.cc)
add_custom_command(
  OUTPUT ${device_images_source}
  COMMAND ${TF_PAIRWISE_PYTHON} ${embed_kernels} ${device_images_source} ${device_images}
  DEPENDS ${embed_kernels} ${device_images}
  COMMENT "Embedding the kernels of GPUs"
  VERBATIM)
set_source_files_properties(${device_images_source} PROPERTIES OBJECT_DEPENDS "${device_images}")
target_sources(kernel_objects PRIVATE ${device_images_source})

# What the kernels take, read off the compiler's logs; the shared memory that launches ask for is
# what the tests' driver says, where that is built (a sanitizer's Python would not load it).
if(device_images)
  set(kernel_sizes "")
  if(TF_PAIRWISE_TESTS AND NOT TF_PAIRWISE_SANITIZE)
    set(kernel_sizes fake_cuda)
  endif()
  set(kernel_table ${PROJECT_SOURCE_DIR}/cmake/kernel_table.py)
  set(kernels_txt ${CMAKE_BINARY_DIR}/kernels.txt)
  add_custom_command(
    OUTPUT ${kernels_txt}
    COMMAND ${TF_PAIRWISE_PYTHON} ${kernel_table} ${kernels_txt} ${device_images}
            $<$<BOOL:${kernel_sizes}>:$<TARGET_FILE:fake_cuda>>
    DEPENDS ${kernel_table} ${device_images} ${kernel_sizes}
    COMMAND_EXPAND_LISTS # without tests there is no last argument
    COMMENT "Registers and spills of the kernels: ${kernels_txt}"
    VERBATIM)
  add_custom_target(kernel_table ALL DEPENDS ${kernels_txt})
endif()

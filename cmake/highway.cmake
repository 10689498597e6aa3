# Highway, header-only: -DHWY_INCLUDE_DIR, else what build_backend/ finds
# (TensorFlow's copy, the system's, that of another TensorFlow), else what CMake
# does. Only this folder is added to an include path, never TensorFlow's.
set(HWY_INCLUDE_DIR "" CACHE PATH "The folder that holds hwy/highway.h")
set(hwy_dir ${HWY_INCLUDE_DIR})
if(NOT hwy_dir)
  execute_process(
    COMMAND ${TF_PAIRWISE_PYTHON} ${PROJECT_SOURCE_DIR}/build_backend/find_tensorflow.py --highway
    OUTPUT_VARIABLE hwy_dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT hwy_dir)
  find_path(HWY_SYSTEM_INCLUDE_DIR hwy/highway.h)
  set(hwy_dir ${HWY_SYSTEM_INCLUDE_DIR})
endif()
if(NOT EXISTS "${hwy_dir}/hwy/highway.h")
  message(FATAL_ERROR
    "hwy/highway.h not found: TensorFlow 2.21 brings it; else install libhwy-dev, or pass "
    "-DHWY_INCLUDE_DIR=... (with pip: TF_PAIRWISE_CMAKE_ARGS=-DHWY_INCLUDE_DIR=...)")
endif()
file(STRINGS ${hwy_dir}/hwy/base.h hwy_macros REGEX "#define HWY_(MAJOR|MINOR|PATCH) [0-9]+")
string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+).*" "\\1.\\2.\\3"
       HWY_VERSION "${hwy_macros}")
message(STATUS "Highway ${HWY_VERSION}: ${hwy_dir}")

add_library(highway INTERFACE)
target_include_directories(highway SYSTEM INTERFACE ${hwy_dir})
target_compile_definitions(highway INTERFACE HWY_HEADER_ONLY)

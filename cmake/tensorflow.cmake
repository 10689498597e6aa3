# The TensorFlows to build for: TF_PAIRWISE_TF_ROOT names their folders, else
# build_backend/find_tensorflow.py finds one. It asks each for its compile flags,
# in a process of its own.
#
# For each minor version, of TF_PAIRWISE_TENSORFLOWS: a target tensorflow_2.21 to
# link with, and TENSORFLOW_2.21_version, _include, _cc, _cxx_standard, _xla.
set(TF_PAIRWISE_TENSORFLOWS "")

macro(tf_pairwise_find_tensorflow root number)
  set(ENV{TF_PAIRWISE_TF_ROOT} "${root}")
  execute_process(
    COMMAND ${TF_PAIRWISE_PYTHON} ${PROJECT_SOURCE_DIR}/build_backend/find_tensorflow.py
            --cache ${CMAKE_BINARY_DIR}/tensorflow${number}.json
    OUTPUT_VARIABLE tensorflow_json RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR
      "TensorFlow was not found (see above); without it: -DTF_PAIRWISE_TENSORFLOW=OFF")
  endif()
  string(JSON version GET "${tensorflow_json}" version)
  string(REGEX MATCH "^[0-9]+\\.[0-9]+" minor "${version}")
  if(minor IN_LIST TF_PAIRWISE_TENSORFLOWS)
    message(FATAL_ERROR "TF_PAIRWISE_TF_ROOT names two of TensorFlow ${minor}")
  endif()
  list(APPEND TF_PAIRWISE_TENSORFLOWS ${minor})

  foreach(key version include framework cc cxx_standard)
    string(JSON TENSORFLOW_${minor}_${key} GET "${tensorflow_json}" ${key})
  endforeach()
  string(JSON definitions_json GET "${tensorflow_json}" definitions)
  string(JSON count LENGTH "${definitions_json}")
  set(definitions "")
  math(EXPR last "${count} - 1")
  foreach(index RANGE ${last})
    string(JSON definition GET "${definitions_json}" ${index})
    list(APPEND definitions ${definition})
  endforeach()
  set(include ${TENSORFLOW_${minor}_include})
  message(STATUS "TensorFlow ${version}: ${include}; ${definitions}")

  # Exactly tf.sysconfig's flags. The version is ours to pass: its headers have
  # none since 2.20.
  add_library(tensorflow_${minor} INTERFACE)
  target_include_directories(tensorflow_${minor} SYSTEM INTERFACE ${include})
  target_compile_definitions(tensorflow_${minor} INTERFACE ${definitions}
                             TF_PAIRWISE_TF_VERSION="${version}")
  target_link_libraries(tensorflow_${minor} INTERFACE ${TENSORFLOW_${minor}_framework})

  # The headers of an XLA lowering (typed FFI) are in the wheels from 2.20 on.
  set(TENSORFLOW_${minor}_xla false)
  if(TENSORFLOW_${minor}_cc AND EXISTS ${include}/xla/ffi/api/ffi.h
     AND EXISTS ${include}/xla/hlo/builder/xla_builder.h)
    set(TENSORFLOW_${minor}_xla true)
  endif()
  set(TENSORFLOW_${minor}_abi null)
  if("${definitions}" MATCHES "_GLIBCXX_USE_CXX11_ABI=([01])")
    set(TENSORFLOW_${minor}_abi ${CMAKE_MATCH_1})
  endif()
endmacro()

if(TF_PAIRWISE_TF_ROOT)
  set(number 0)
  foreach(root IN LISTS TF_PAIRWISE_TF_ROOT)
    math(EXPR number "${number} + 1")
    tf_pairwise_find_tensorflow("${root}" ${number})
  endforeach()
else()
  tf_pairwise_find_tensorflow("" "")
endif()
list(JOIN TF_PAIRWISE_TF_ROOT ":" roots)
set(ENV{TF_PAIRWISE_TF_ROOT} "${roots}")  # for who asks for Highway's headers
# The one whose headers serve where any would do, and that the tests' parts are for.
list(GET TF_PAIRWISE_TENSORFLOWS 0 TF_PAIRWISE_FIRST_TENSORFLOW)

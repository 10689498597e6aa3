# The TensorFlow to build for: build_backend/find_tensorflow.py finds it and
# asks it for its compile flags, in a process of its own.
set(ENV{TF_PAIRWISE_TF_ROOT} "${TF_PAIRWISE_TF_ROOT}")
execute_process(
  COMMAND ${TF_PAIRWISE_PYTHON} ${PROJECT_SOURCE_DIR}/build_backend/find_tensorflow.py
          --cache ${CMAKE_BINARY_DIR}/tensorflow.json
  OUTPUT_VARIABLE tensorflow_json RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "TensorFlow was not found (see above); without it: -DTF_PAIRWISE_TENSORFLOW=OFF")
endif()

foreach(key version include framework cc cxx_standard)
  string(JSON TENSORFLOW_${key} GET "${tensorflow_json}" ${key})
endforeach()
string(JSON definitions GET "${tensorflow_json}" definitions)
string(JSON count LENGTH "${definitions}")
set(TENSORFLOW_definitions "")
math(EXPR last "${count} - 1")
foreach(index RANGE ${last})
  string(JSON definition GET "${definitions}" ${index})
  list(APPEND TENSORFLOW_definitions ${definition})
endforeach()
message(STATUS "TensorFlow ${TENSORFLOW_version}: ${TENSORFLOW_include}; ${TENSORFLOW_definitions}")

# Exactly tf.sysconfig's flags. The version is ours to pass: its headers have
# none since 2.20.
add_library(tensorflow INTERFACE)
target_include_directories(tensorflow SYSTEM INTERFACE ${TENSORFLOW_include})
target_compile_definitions(tensorflow INTERFACE ${TENSORFLOW_definitions}
                           TF_PAIRWISE_TF_VERSION="${TENSORFLOW_version}")
target_link_libraries(tensorflow INTERFACE ${TENSORFLOW_framework})

# The headers of an XLA lowering (typed FFI) are in the wheels from 2.20 on.
set(TENSORFLOW_XLA OFF)
if(TENSORFLOW_cc AND EXISTS ${TENSORFLOW_include}/xla/ffi/api/ffi.h
   AND EXISTS ${TENSORFLOW_include}/xla/hlo/builder/xla_builder.h)
  set(TENSORFLOW_XLA ON)
endif()

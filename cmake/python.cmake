# The interpreter, its headers and the suffix of its extension modules.
#
# Debian keeps Python.h in a package of its own; where that is not installed, a
# TensorFlow wheel has the headers too (cmake/numpy.cmake).
if(NOT TF_PAIRWISE_PYTHON)
  find_program(TF_PAIRWISE_PYTHON NAMES python3 python REQUIRED)
endif()

function(tf_pairwise_ask_python code out)
  execute_process(COMMAND ${TF_PAIRWISE_PYTHON} -c "${code}" OUTPUT_VARIABLE answer
                  OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
  if(failed)
    set(answer "")
  endif()
  set(${out} "${answer}" PARENT_SCOPE)
endfunction()

tf_pairwise_ask_python("import sys; print('%d.%d' % sys.version_info[:2])" PYTHON_VERSION)
tf_pairwise_ask_python("import sysconfig; print(sysconfig.get_path('include'))" PYTHON_INCLUDE_DIR)
tf_pairwise_ask_python("import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))" PYTHON_SUFFIX)
tf_pairwise_ask_python("import pybind11; print(pybind11.get_include())" PYBIND11_INCLUDE_DIR)
if(NOT PYTHON_SUFFIX)
  message(FATAL_ERROR "${TF_PAIRWISE_PYTHON} is not a working Python interpreter")
endif()

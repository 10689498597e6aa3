# -DTF_PAIRWISE_PORTABLE=ON: the artefacts load where glibc and libstdc++ are
# older than here, for a wheel that is to be installed elsewhere. The compiler's
# headers ask for symbols newer than the tag manylinux_2_28 allows; old_symbols.h
# asks for the older of two of a name, and old_symbols.cc has what is in no older
# library. `auditwheel show` says what a wheel still asks for.
option(TF_PAIRWISE_PORTABLE "Ask for no newer glibc and libstdc++ than manylinux_2_28 has" OFF)

if(TF_PAIRWISE_PORTABLE)
  add_library(old_symbols STATIC ${PROJECT_SOURCE_DIR}/cmake/old_symbols.cc)
  target_compile_options(old_symbols PRIVATE -Wall -O2)
endif()

# For a library's objects, and for what it is linked of.
function(tf_pairwise_make_portable target)
  if(NOT TF_PAIRWISE_PORTABLE)
    return()
  endif()
  target_compile_options(${target} PRIVATE
    "SHELL:-include ${PROJECT_SOURCE_DIR}/cmake/old_symbols.h")
  target_link_libraries(${target} PRIVATE old_symbols)
  target_link_options(${target} PRIVATE -Wl,--exclude-libs,libold_symbols.a)
endfunction()

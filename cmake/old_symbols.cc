// What the headers of newer compilers call in libstdc++ and glibc, and older
// ones of these have not (portable.cmake). Linked into each artefact, and not
// exported.
#include <new>
#include <sstream>

// glibc 2.32: whether there is one thread, so that counts need not be atomic.
extern "C" char __libc_single_threaded = 0;

namespace std {

// GLIBCXX_3.4.29.
void __throw_bad_array_new_length() { throw bad_array_new_length(); }

// GLIBCXX_3.4.26.
template basic_stringstream<char>::basic_stringstream();

}  // namespace std

// CXXABI_1.3.13: the counting of std::exception_ptr, which was inside of its
// copy constructor and destructor before.
extern "C" {
void CopyPointer(void* to, const void* from) __asm__(
    "_ZNSt15__exception_ptr13exception_ptrC1ERKS0_");
void DestroyPointer(void* pointer) __asm__(
    "_ZNSt15__exception_ptr13exception_ptrD1Ev");

void AddReference(void* pointer) __asm__(
    "_ZNSt15__exception_ptr13exception_ptr9_M_addrefEv");
void AddReference(void* pointer) {
  void* copy;  // of the one member, and never destroyed
  CopyPointer(&copy, pointer);
}

void Release(void** pointer) __asm__(
    "_ZNSt15__exception_ptr13exception_ptr10_M_releaseEv");
void Release(void** pointer) {
  DestroyPointer(pointer);
  *pointer = nullptr;
}
}

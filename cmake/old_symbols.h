// Read before every source of a portable build (portable.cmake): of two
// versions of a symbol, the one that older systems have too. They do the same:
// glibc 2.34 moved threads and dlopen into libc, 2.29 left errno out of the
// wrappers of exp and log, and GCC 12 made wait() noexcept.
#ifndef TF_PAIRWISE_OLD_SYMBOLS_H_
#define TF_PAIRWISE_OLD_SYMBOLS_H_

#if defined(__x86_64__)
#define TF_PAIRWISE_OLDEST "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define TF_PAIRWISE_OLDEST "GLIBC_2.17"
#else
#error "TF_PAIRWISE_PORTABLE: for x86_64 and aarch64 alone"
#endif

#define TF_PAIRWISE_OLD(name) \
  __asm__(".symver " #name "," #name "@" TF_PAIRWISE_OLDEST)
TF_PAIRWISE_OLD(dlerror);
TF_PAIRWISE_OLD(dlopen);
TF_PAIRWISE_OLD(dlsym);
TF_PAIRWISE_OLD(exp);
TF_PAIRWISE_OLD(exp2);
TF_PAIRWISE_OLD(log);
TF_PAIRWISE_OLD(log2);
TF_PAIRWISE_OLD(pow);
TF_PAIRWISE_OLD(pthread_once);
#undef TF_PAIRWISE_OLD
#undef TF_PAIRWISE_OLDEST

// std::condition_variable::wait
__asm__(
    ".symver _ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE,"
    "_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE@GLIBCXX_3.4.11");

#endif  // TF_PAIRWISE_OLD_SYMBOLS_H_

#ifndef TF_PAIRWISE_CORE_INTEGERS_H_
#define TF_PAIRWISE_CORE_INTEGERS_H_

// The sized integers, also where the CUDA compiler is NVRTC, which has no
// standard library.
#if defined(__CUDACC_RTC__)
using int8_t = signed char;
using uint8_t = unsigned char;
using int16_t = short;
using uint16_t = unsigned short;
using int32_t = int;
using uint32_t = unsigned int;
using int64_t = long long;
using uint64_t = unsigned long long;
#else
#include <cstdint>
#endif

#endif  // TF_PAIRWISE_CORE_INTEGERS_H_

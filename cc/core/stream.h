#ifndef TF_PAIRWISE_CORE_STREAM_H_
#define TF_PAIRWISE_CORE_STREAM_H_

namespace tf_pairwise {

// The launcher of a GPU, where a ParallelFor is the host's: work on one stream
// of the device whose context is current, done in the order in which it is put
// there. Entry points that take one return when all is put there, not when it
// is done; their arrays and scratch are the device's memory, but for what a
// contract says is the host's.
struct Stream {
  void* handle = nullptr;  // a CUstream; null is the default stream
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CORE_STREAM_H_

#ifndef TF_PAIRWISE_CORE_EXPORT_H_
#define TF_PAIRWISE_CORE_EXPORT_H_

// Marks the entry points of the kernel library; everything else is hidden.
#define TF_PAIRWISE_EXPORT __attribute__((visibility("default")))

#endif  // TF_PAIRWISE_CORE_EXPORT_H_

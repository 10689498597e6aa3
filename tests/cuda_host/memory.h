#ifndef TF_PAIRWISE_TESTS_CUDA_HOST_MEMORY_H_
#define TF_PAIRWISE_TESTS_CUDA_HOST_MEMORY_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>

// The "device memory" of the fake driver: pages of the host that can be touched
// only while the driver works, so that a host that reads the device's memory
// crashes, as it would with a real one. An allocation ends before a page that
// nobody may touch, with a few bytes between that are looked at when it is
// freed. It begins as 0xFF bytes, which are NaNs, and its addresses are not
// used again.

namespace fake {

class Memory {
 public:
  static constexpr uint64_t kAlignment = 256;

  uint64_t Allocate(uint64_t bytes) {
    const uint64_t page = sysconf(_SC_PAGESIZE);
    const uint64_t body = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    const uint64_t pages = (body + page - 1) / page * page;
    void* const base = mmap(nullptr, pages + page, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return 0;
    mprotect(base, pages, PROT_READ | PROT_WRITE);
    std::memset(base, 0xff, pages);
    const uint64_t first = reinterpret_cast<uint64_t>(base);
    const uint64_t address = first + pages - body;
    std::memset(reinterpret_cast<void*>(address + bytes), kCanary,
                body - bytes);
    ranges_[address] = {first, pages, bytes, body};
    if (open_ == 0) mprotect(base, pages, PROT_NONE);
    return address;
  }

  // False, with a word to stderr, if nothing lies there or bytes behind it were
  // written.
  bool Free(uint64_t address) {
    const auto found = ranges_.find(address);
    if (found == ranges_.end()) {
      std::fprintf(stderr, "fake driver: freed what is not allocated: %#llx\n",
                   static_cast<unsigned long long>(address));  // NOLINT
      return false;
    }
    Open();
    const bool whole = Whole(address, found->second);
    Close();
    void* const base = reinterpret_cast<void*>(found->second.base);
    madvise(base, found->second.pages, MADV_DONTNEED);
    mprotect(base, found->second.pages, PROT_NONE);
    ranges_.erase(found);
    return whole;
  }

  // Whether an address lies in an allocation.
  bool Holds(uint64_t address) const {
    auto next = ranges_.upper_bound(address);
    if (next == ranges_.begin()) return false;
    --next;
    return address < next->first + next->second.bytes;
  }
  bool Holds(uint64_t address, uint64_t bytes) const {
    return Holds(address) && Holds(address + bytes - 1);
  }

  void Open() {
    if (open_++ == 0) Protect(PROT_READ | PROT_WRITE);
  }
  void Close() {
    if (--open_ == 0) Protect(PROT_NONE);
  }

  int64_t count() const { return static_cast<int64_t>(ranges_.size()); }

 private:
  static constexpr unsigned char kCanary = 0xa5;

  struct Range {
    uint64_t base, pages, bytes, body;
  };

  void Protect(int mode) {
    for (const auto& [address, range] : ranges_) {
      mprotect(reinterpret_cast<void*>(range.base), range.pages, mode);
    }
  }

  static bool Whole(uint64_t address, const Range& range) {
    const auto* const bytes = reinterpret_cast<const unsigned char*>(address);
    for (uint64_t i = range.bytes; i < range.body; ++i) {
      if (bytes[i] == kCanary) continue;
      std::fprintf(stderr,
                   "fake driver: byte %llu was written, of an allocation of "
                   "%llu bytes\n",
                   static_cast<unsigned long long>(i),             // NOLINT
                   static_cast<unsigned long long>(range.bytes));  // NOLINT
      return false;
    }
    return true;
  }

  std::map<uint64_t, Range> ranges_;
  int open_ = 0;
};

}  // namespace fake

#endif  // TF_PAIRWISE_TESTS_CUDA_HOST_MEMORY_H_

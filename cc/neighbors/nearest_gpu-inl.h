#ifndef TF_PAIRWISE_NEIGHBORS_NEAREST_GPU_INL_H_
#define TF_PAIRWISE_NEIGHBORS_NEAREST_GPU_INL_H_

#include "core/lanes-inl.h"
#include "core/radix.h"
#include "cuda/block.h"
#include "cuda/halves.h"
#include "neighbors/select_gpu-inl.h"

namespace tf_pairwise {

// A pair's place in its row: by distance, then by column. No two are the same,
// so that the order in which a row is worked on cannot be seen.
template <typename Order>
struct Place {
  Order order;
  int column;

  TF_PAIRWISE_DEVICE bool operator<(const Place& other) const {
    return order < other.order ||
           (order == other.order && column < other.column);
  }
};

// What distances there are.
template <typename Order>
struct Extent {
  Order least, most;
  int count;
  int unused;  // whole words for FromLane
};

struct ExtentOf {
  template <class E>
  TF_PAIRWISE_DEVICE E operator()(const E& a, const E& b) const {
    if (a.count == 0) return b;
    if (b.count == 0) return a;
    return {a.least < b.least ? a.least : b.least,
            a.most > b.most ? a.most : b.most, a.count + b.count, 0};
  }
};

// The k nearest of each row of a strip, a block a row. The row is read a few
// times: for its extent, for one digit or two, which leave a short list, and
// for the list, which is sorted. Where k is more than a list holds, one list
// after another.
template <typename S>
struct NearestKernel {
  TF_PAIRWISE_KERNEL_NAME("nearest_neighbors_" + TypeName<S>());
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = sizeof(S) == 8 ? 3 : 4;
  static constexpr int kList = 2048;
  static constexpr int kNeed = 1024;  // of a list, at the least

  using T = Computed<S>;
  using Order = decltype(OrderOf(T()));

  struct Arguments {
    T* values;  // [rows, stride], where pairs that are none become NaN
    int64_t stride;
    int64_t row;  // of the first
    int columns;
    bool self;
    bool same;                    // of the query's label, or of another
    const int64_t* query_labels;  // null: any
    const int64_t* key_labels;
    int64_t k;
    S* distances;
    int64_t* indices;
  };
  struct Shared {
    int digits[kDigits];
    Order orders[kList];
    int columns[kList];
    int count;
  };
  struct ThreadRegisters {
    int before;
  };
  using WarpRegisters = NoRegisters;
  using Registers = ThreadRegisters;

  template <class B>
  static TF_PAIRWISE_DEVICE void Run(B& block, const Arguments& a) {
    const int64_t query = a.row + block.x();
    T* const values = a.values + block.x() * a.stride;
    StrikeOut(block, a, query, values);
    // The place of the last that was found: below all at first, since no
    // number's order is 0.
    Place<Order> last = {0, -1};
    int64_t done = 0;
    while (done < a.k) {
      const Extent<Order> extent = ExtentAfter(block, a, values, last);
      if (extent.count == 0) break;
      const int64_t left = a.k - done;
      const int need = left < kNeed ? static_cast<int>(left) : kNeed;
      const Place<Order> after = last;
      const int count = FindLast(block, a, values, after, extent, need, &last);
      Collect(block, a, values, after, last, count);
      Sort(block, count);
      const int64_t wanted = left < count ? left : count;
      block.Each([&](int thread, Shared& s, Registers&) {
        for (int64_t e = thread; e < wanted; e += kThreads) {
          const int64_t out = query * a.k + done + e;
          Store(values[s.columns[e]], a.distances + out);
          a.indices[out] = s.columns[e];
        }
      });
      done += wanted;
    }
    block.Each([&](int thread, Shared&, Registers&) {
      for (int64_t e = done + thread; e < a.k; e += kThreads) {
        Store(static_cast<T>(PlusInfinity()), a.distances + query * a.k + e);
        a.indices[query * a.k + e] = -1;
      }
    });
  }

 private:
  static constexpr int kLastColumn = 0x7fffffff;

  // Pairs that are none become NaN: a query with itself, and what its label
  // does not allow.
  template <class B>
  static TF_PAIRWISE_DEVICE void StrikeOut(B& block, const Arguments& a,
                                           int64_t query, T* values) {
    if (!a.self && a.query_labels == nullptr) return;
    block.Each([&](int thread, Shared&, Registers&) {
      const T nan = static_cast<T>(NotANumber());
      if (a.self && thread == query % kThreads) values[query] = nan;
      if (a.query_labels == nullptr) return;
      const int64_t label = a.query_labels[query];
      for (int j = thread; j < a.columns; j += kThreads) {
        if ((a.key_labels[j] == label) != a.same) values[j] = nan;
      }
    });
  }

  // Whether column j, at a distance, is a neighbour that comes after a place,
  // and where.
  static TF_PAIRWISE_DEVICE bool IsAfter(int j, T value,
                                         const Place<Order>& after,
                                         Place<Order>* place) {
    // Neither NaN nor +inf.
    if (!(value < static_cast<T>(PlusInfinity()))) return false;
    *place = {OrderOf(value), j};
    return after < *place;
  }

  template <class B>
  static TF_PAIRWISE_DEVICE Extent<Order> ExtentAfter(
      B& block, const Arguments& a, const T* values,
      const Place<Order>& after) {
    return block.Reduce(
        [&](int thread, Shared&, Registers&) {
          Extent<Order> extent = {0, 0, 0, 0};
          EachColumn<kThreads>(thread, values, a.columns, [&](int j, T value) {
            Place<Order> place;
            if (!IsAfter(j, value, after, &place)) return;
            const Extent<Order> one = {place.order, place.order, 1, 0};
            extent = ExtentOf()(extent, one);
          });
          return extent;
        },
        ExtentOf());
  }

  // Where the next list ends, which then has the `need` nearest and at most
  // kList; how many it has.
  template <class B>
  static TF_PAIRWISE_DEVICE int FindLast(B& block, const Arguments& a,
                                         const T* values,
                                         const Place<Order>& after,
                                         const Extent<Order>& extent, int need,
                                         Place<Order>* last) {
    Interval<Order> orders = {extent.least, extent.most - extent.least, 0,
                              extent.count};
    Narrow(
        block, values, a.columns, need, kList,
        [&](int j, T value, Order* order) {
          Place<Order> place;
          if (!IsAfter(j, value, after, &place)) return false;
          *order = place.order;
          return true;
        },
        orders);
    *last = {orders.low + orders.extent, kLastColumn};
    if (orders.through() <= kList) return orders.through();
    // Too many are equal: the lower columns of these.
    Interval<unsigned> columns = {0, static_cast<unsigned>(a.columns - 1),
                                  orders.below, orders.count};
    Narrow(
        block, values, a.columns, need, kList,
        [&](int j, T value, unsigned* column) {
          Place<Order> place;
          if (!IsAfter(j, value, after, &place)) return false;
          *column = static_cast<unsigned>(j);
          return place.order == orders.low;
        },
        columns);
    last->column = static_cast<int>(columns.low + columns.extent);
    return columns.through();
  }

  // The list of what comes after a place and up to another, in any order, and
  // what fills it up to a power of two.
  template <class B>
  static TF_PAIRWISE_DEVICE void Collect(B& block, const Arguments& a,
                                         const T* values,
                                         const Place<Order>& after,
                                         const Place<Order>& last, int count) {
    block.Each([&](int thread, Shared& s, Registers&) {
      if (thread == 0) s.count = 0;
      for (int e = count + thread; e < Padded(count); e += kThreads) {
        s.orders[e] = ~Order(0);
        s.columns[e] = kLastColumn;
      }
    });
    block.Each([&](int thread, Shared& s, Registers&) {
      EachColumn<kThreads>(thread, values, a.columns, [&](int j, T value) {
        Place<Order> place;
        if (!IsAfter(j, value, after, &place) || last < place) return;
        const int e = AtomicAdd(&s.count, 1);
        s.orders[e] = place.order;
        s.columns[e] = place.column;
      });
    });
  }

  static TF_PAIRWISE_DEVICE int Padded(int count) {
    int padded = 1;
    while (padded < count) padded *= 2;
    return padded;
  }

  // Bitonic.
  template <class B>
  static TF_PAIRWISE_DEVICE void Sort(B& block, int count) {
    const int padded = Padded(count);
    for (int size = 2; size <= padded; size *= 2) {
      for (int by = size / 2; by > 0; by /= 2) {
        block.Each([&](int thread, Shared& s, Registers&) {
          for (int e = thread; e < padded / 2; e += kThreads) {
            const int low = 2 * e - (e & (by - 1)), high = low + by;
            const Place<Order> a = {s.orders[low], s.columns[low]};
            const Place<Order> b = {s.orders[high], s.columns[high]};
            if ((b < a) != ((low & size) == 0)) continue;
            s.orders[low] = b.order;
            s.columns[low] = b.column;
            s.orders[high] = a.order;
            s.columns[high] = a.column;
          }
        });
      }
    }
  }
};

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_NEIGHBORS_NEAREST_GPU_INL_H_

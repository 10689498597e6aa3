// The kernels of a strip, a block at a time, against plain loops in double, by
// each way to make products: which weights and points are in a sum, and that
// the factor of a point is the sum of the weights as the product takes them.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "core/rounds.h"
#include "cuda/testing.h"
#include "tile/distances_gpu-inl.h"
#include "tile/gradients_gpu-inl.h"

namespace tf_pairwise {
namespace {

constexpr int kTile = TileShape<float>::kTile;
// Of a strip: rows and columns, and where its rows begin.
constexpr int kRows = 130, kColumns = 150, kFirst = kTile;
constexpr int kPadded = 2 * kTile;

// Numbers of [-2, 2).
class Numbers {
 public:
  float Next() {
    seed_ = seed_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(seed_ >> 40) / (1 << 22) - 2;
  }
  std::vector<float> Some(int64_t count, bool tf32) {
    std::vector<float> numbers(count);
    for (float& x : numbers) x = tf32 ? RoundToTf32(Next()) : Next();
    return numbers;
  }

 private:
  uint64_t seed_ = 1;
};

template <class K>
void RunBlocks(int64_t grid_x, int64_t grid_y, int64_t grid_z,
               const typename K::Arguments& arguments) {
  const auto shared = std::make_unique<typename K::Shared>();
  for (int64_t z = 0; z < grid_z; ++z) {
    for (int64_t y = 0; y < grid_y; ++y) {
      for (int64_t x = 0; x < grid_x; ++x) {
        std::memset(static_cast<void*>(shared.get()), 0xff, sizeof(*shared));
        ThreadBlock<K> block(shared.get(), x, y, z, grid_x);
        K::Run(block, arguments);
      }
    }
  }
}

// A sum in double, and of its terms' magnitudes, of which floats lose a part.
struct Sum {
  double value = 0, magnitude = 0;
  void Add(float x, float y) {
    const double term = static_cast<double>(x) * static_cast<double>(y);
    value += term;
    magnitude += std::fabs(term);
  }
};

void CheckNear(float made, const Sum& expected) {
  const double difference = static_cast<double>(made) - expected.value;
  if (std::fabs(difference) <= 4e-7 * expected.magnitude) return;
  std::printf("made %.9g, expected %.17g\n", static_cast<double>(made),
              expected.value);
  std::exit(1);
}

// -x y^T of the strip's rows and all columns.
template <class Policy, bool kDeep>
void CheckDistances(int64_t stride) {
  constexpr bool kTf32 = Policy::kIsTensor && Policy::kTerms == 1;
  using K = DistancesKernel<Dot, float, kDeep, Policy>;
  Numbers numbers;
  const auto x = numbers.Some((kFirst + kPadded) * stride, kTf32);
  const auto y = numbers.Some(kPadded * stride, kTf32);
  const std::vector<float> term(kFirst + kPadded);
  constexpr float kNobodys = 77;
  std::vector<float> values(kPadded * kPadded, kNobodys);
  RunBlocks<K>(2, 2, 1, {x.data(), y.data(),      term.data(), term.data(),
                         nullptr,  x.data(),      y.data(),    kFirst + kRows,
                         kColumns, stride,        stride,      kFirst,
                         -1,       values.data(), kPadded,     kRows,
                         kColumns, nullptr,       0,           nullptr,
                         0});
  for (int i = 0; i < kPadded; ++i) {
    for (int j = 0; j < kPadded; ++j) {
      const float made = values[i * kPadded + j];
      if (i >= kRows || j >= kColumns) {
        CHECK(made == kNobodys);
        continue;
      }
      Sum expected;
      for (int64_t k = 0; k < stride; ++k) {
        expected.Add(-x[(kFirst + i) * stride + k], y[j * stride + k]);
      }
      CheckNear(made, expected);
    }
  }
}

// The sums of the strip's rows or, kTransposed, of its columns.
template <class Policy, bool kTransposed>
void CheckSums(bool splits, bool close) {
  constexpr bool kTf32 = Policy::kIsTensor && Policy::kTerms == 1;
  using K = AccumulateKernel<float, false, kTransposed, Policy>;
  constexpr int kWidth = kTile + 16, kWords = kPadded / 32;
  const int owns = kTransposed ? kColumns : kRows;
  const int others = kTransposed ? kRows : kColumns;
  Numbers numbers;
  const auto y = numbers.Some(kPadded * kWidth, kTf32);
  const auto own = numbers.Some(kPadded * kWidth, kTf32);
  // Beyond the strip's pairs there is anything; a stretch of others has no
  // weight.
  std::vector<float> values(kPadded * kPadded, NAN);
  std::vector<uint32_t> near(kPadded * kWords);
  std::vector<int32_t> near_tiles(4);
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kColumns; ++j) {
      const int other = kTransposed ? i : j;
      const bool none = other >= 30 && other < 70;
      const float weight = numbers.Next();
      values[i * kPadded + j] = none ? 0 : weight;
      if (!close || (7 * i + 3 * j) % 11 != 0) continue;
      near[i * kWords + j / 32] |= 1u << j % 32;
      near_tiles[i / kTile * 2 + j / kTile] = 1;
    }
  }
  const auto before = numbers.Some(kPadded * kWidth, false);
  std::vector<float> sums = before, factor(kPadded, 1);
  const int64_t length = splits ? 80 : others;
  const int64_t count = Blocks(others, length);
  std::vector<float> partials(count * kPadded * (kWidth + 1), NAN);
  const StripWeights<float> weights = {
      values.data(), kPadded,           0,
      kRows,         kColumns,          close ? near.data() : nullptr,
      kWords,        near_tiles.data(), 2};
  RunBlocks<K>(
      2, 2, count,
      {weights, own.data(), y.data(), kWidth, sums.data(), factor.data(),
       splits ? partials.data() : nullptr, length, count});
  for (int64_t split = 0; splits && split < count; ++split) {
    for (int64_t i = 0; i < kPadded * kWidth; ++i) {
      sums[i] += partials[split * kPadded * kWidth + i];
    }
    for (int64_t i = 0; i < kPadded; ++i) {
      factor[i] += partials[count * kPadded * kWidth + split * kPadded + i];
    }
  }
  for (int i = 0; i < owns; ++i) {
    std::vector<Sum> expected(kWidth);
    Sum expected_factor;
    expected_factor.Add(1, 1);
    for (int k = 0; k < kWidth; ++k) expected[k].Add(1, before[i * kWidth + k]);
    for (int j = 0; j < others; ++j) {
      const int row = kTransposed ? j : i, column = kTransposed ? i : j;
      if ((near[row * kWords + column / 32] >> column % 32 & 1) != 0) continue;
      const float w = values[row * kPadded + column];
      expected_factor.Add(1, w);
      for (int k = 0; k < kWidth; ++k) expected[k].Add(-w, y[j * kWidth + k]);
    }
    CheckNear(factor[i], expected_factor);
    for (int k = 0; k < kWidth; ++k) {
      CheckNear(sums[i * kWidth + k], expected[k]);
    }
  }
  for (int i = owns; i < kPadded; ++i) CHECK(factor[i] == 1);
}

template <class Policy>
void CheckPolicy() {
  CheckDistances<Policy, false>(16);
  CheckDistances<Policy, false>(80);
  if constexpr (!Policy::kIsTensor || Policy::kTerms == 3) {
    CheckDistances<Policy, true>(
        DistancesKernel<Dot, float, true, Policy>::kDepthBlock + 32);
  }
  for (const bool splits : {false, true}) {
    for (const bool close : {false, true}) {
      CheckSums<Policy, false>(splits, close);
      CheckSums<Policy, true>(splits, close);
    }
  }
}

int Run() {
  for (int order = 0; order < 3; ++order) {
    ThreadOrder() = order;
    CheckPolicy<CudaCores>();
    CheckPolicy<Tf32>();
    CheckPolicy<Tf32x3>();
  }
  return 0;
}

}  // namespace
}  // namespace tf_pairwise

int main() { return tf_pairwise::Run(); }

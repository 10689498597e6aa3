// A warp's products (warp_tile.h) against plain loops in double: what each lane
// loads and stores, by each policy, in all orders of lanes.

#include "cuda/warp_tile.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

#include "cuda/testing.h"

namespace tf_pairwise {
namespace {

constexpr int kColumns = 64;

// Numbers of [-2, 2), of as many bits as a float has, or a tf32.
class Numbers {
 public:
  explicit Numbers(bool tf32) : tf32_(tf32) {}
  float Next() {
    seed_ = seed_ * 6364136223846793005u + 1442695040888963407u;
    const float x = static_cast<float>(seed_ >> 40) / (1 << 22) - 2;
    return tf32_ ? RoundToTf32(x) : x;
  }

 private:
  bool tf32_;
  uint64_t seed_ = 1;
};

// Lines of shared memory, of kWidth floats and a pack that nobody may read.
template <int kWidth>
std::vector<Pack<float>> Lines(int count, Numbers& numbers) {
  std::vector<Pack<float>> lines(count * LinePacks(kWidth));
  for (int i = 0; i < count * LinePacks(kWidth); ++i) {
    const bool padding = i % LinePacks(kWidth) == LinePacks(kWidth) - 1;
    for (float& v : lines[i].v) v = padding ? NAN : numbers.Next();
  }
  return lines;
}

template <int kWidth>
double At(const std::vector<Pack<float>>& lines, int line, int at) {
  return static_cast<double>(
      lines[line * LinePacks(kWidth) + at / 4].v[at % 4]);
}

// f(i, j, row, column) of a lane's elements, of which all have to be there.
template <class Policy, int kWidth, class F>
void ForElements(bool coordinates, const F& f) {
  std::vector<int> seen(kWarpRows * kWidth);
  for (int lane = 0; lane < kWarp; ++lane) {
    for (int i = 0; i < Policy::kRows; ++i) {
      for (int j = 0; j < kWidth / Policy::kRowLanes; ++j) {
        const int row = Policy::Row(lane, i);
        const int column =
            coordinates ? Policy::Coordinate(lane, j) : Policy::Column(lane, j);
        CHECK(row < kWarpRows && column < kWidth);
        ++seen[row * kWidth + column];
        f(lane, i, j, row, column);
      }
    }
  }
  for (const int times : seen) CHECK(times == 1);
}

// A sum in double, and of its terms' magnitudes, of which floats lose a part.
struct Sum {
  double value = 0, magnitude = 0;
  void Add(double term) {
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

// x y^T over kDepth coordinates.
template <class Policy, int kDepth>
void CheckMultiply(bool tf32) {
  Numbers numbers(tf32);
  const auto x = Lines<kDepth>(kWarpRows, numbers);
  const auto y = Lines<kDepth>(kColumns, numbers);
  using Tile = PerLane<typename Policy::template Part<kColumns>>;
  const auto tile = std::make_unique<Tile>();
  Policy::template Multiply<kColumns, LinePacks(kDepth)>(x.data(), y.data(),
                                                         kDepth, *tile);
  ForElements<Policy, kColumns>(
      false, [&](int lane, int i, int j, int row, int column) {
        Sum expected;
        for (int k = 0; k < kDepth; ++k) {
          expected.Add(At<kDepth>(x, row, k) * At<kDepth>(y, column, k));
        }
        CheckNear((*tile)[lane].At(i, j), expected);
      });
}

// Sums of kDepth coordinates += w y.
template <class Policy, int kDepth>
void CheckAccumulate(bool tf32) {
  Numbers points(tf32), numbers(false);
  const auto y = Lines<kDepth>(kColumns, points);
  double weights[kWarpRows][kColumns], before[kWarpRows][kDepth];
  using Weights = PerLane<typename Policy::template Part<kColumns>>;
  using Sums = PerLane<typename Policy::template Part<kDepth>>;
  const auto w = std::make_unique<Weights>();
  const auto sums = std::make_unique<Sums>();
  ForElements<Policy, kColumns>(
      false, [&](int lane, int i, int j, int row, int column) {
        (*w)[lane].At(i, j) = numbers.Next();
        weights[row][column] = static_cast<double>((*w)[lane].At(i, j));
      });
  ForElements<Policy, kDepth>(
      true, [&](int lane, int i, int j, int row, int k) {
        (*sums)[lane].At(i, j) = numbers.Next();
        before[row][k] = static_cast<double>((*sums)[lane].At(i, j));
      });
  typename Policy::Own own;
  Policy::template Accumulate<kColumns, kDepth, LinePacks(kDepth)>(*w, y.data(),
                                                                   own, *sums);
  ForElements<Policy, kDepth>(
      true, [&](int lane, int i, int j, int row, int k) {
        Sum expected;
        expected.Add(before[row][k]);
        for (int column = 0; column < kColumns; ++column) {
          expected.Add(weights[row][column] * At<kDepth>(y, column, k));
        }
        CheckNear((*sums)[lane].At(i, j), expected);
      });
}

template <class Policy>
void CheckPolicy(bool tf32) {
  CheckMultiply<Policy, 16>(tf32);
  CheckMultiply<Policy, 48>(tf32);
  CheckMultiply<Policy, 128>(tf32);
  CheckAccumulate<Policy, 32>(tf32);
  CheckAccumulate<Policy, 64>(tf32);
  CheckAccumulate<Policy, 128>(tf32);
}

void CheckRounding() {
  CHECK(RoundToTf32(1 + 0x1p-11f) == 1 + 0x1p-10f);
  CHECK(RoundToTf32(1 + 0x1.ep-12f) == 1);
  CHECK(RoundToTf32(-3 - 0x1p-20f) == -3);
  CHECK(std::isinf(RoundToTf32(INFINITY)) && std::isnan(RoundToTf32(NAN)));
  const float x = 1.2345678f;
  const Tf32Terms<3> terms(x);
  CHECK(FloatOf(terms.big) + FloatOf(terms.small) == x);
  CHECK((terms.big & 0x1fff) == 0);
}

int Run() {
  CheckRounding();
  for (int order = 0; order < 3; ++order) {
    ThreadOrder() = order;
    CheckPolicy<CudaCores>(false);
    CheckPolicy<Tf32x3>(false);
    CheckPolicy<Tf32>(true);
  }
  return 0;
}

}  // namespace
}  // namespace tf_pairwise

int main() { return tf_pairwise::Run(); }

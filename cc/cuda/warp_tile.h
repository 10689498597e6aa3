#ifndef TF_PAIRWISE_CUDA_WARP_TILE_H_
#define TF_PAIRWISE_CUDA_WARP_TILE_H_

#include "core/numerics-inl.h"
#include "cuda/block.h"

// A warp's tile of a product in registers: 16 rows of it, a lane holding some
// of the elements. How the product is made is a policy:
//
//   CudaCores  float, as it is
//   Tf32       tensor cores, of points that are tf32 already, as halves are;
//              weights are a sum of two
//   Tf32x3     tensor cores, of floats: each is a sum of two tf32, whose
//              products, but for that of the small ones, are added up
//
// The same text runs on the host, lane by lane, with the one instruction of
// tensor cores done as PTX's manual describes it, so that what each lane loads
// and where it stores are tested there.
//
// Tensor cores cut off what they add: 16 coordinates, or a tile's points, are
// added up in them, and those sums to the tile's as floats.

namespace tf_pairwise {

// A tile's rows, and the width of a line of shared memory with this many
// floats, in packs: the lines that lanes read at once are in different banks.
constexpr int kWarpRows = 16;
constexpr int LinePacks(int width) { return width / Pack<float>::kSize + 1; }

#if defined(__CUDACC__)

// What a lane has in registers from one step of its warp to the next.
template <typename V>
struct PerLane {
  V own;
  TF_PAIRWISE_DEVICE V& operator[](int) { return own; }
  TF_PAIRWISE_DEVICE const V& operator[](int) const { return own; }
};

// f(lane) by each lane, which touches its own registers alone, or shared memory
// that nobody writes: EachLane (block.h) without the barrier.
template <class F>
TF_PAIRWISE_DEVICE void InLanes(const F& f) {
  f(static_cast<int>(threadIdx.x) % kWarp);
}

// op over groups of kCount neighbouring lanes, which all of a group have.
template <int kCount, typename V, class Op>
TF_PAIRWISE_DEVICE void ReduceGroups(PerLane<V>& values, const Op& op) {
  for (int by = 1; by < kCount; by *= 2) {
    values.own = op(values.own, FromLane(values.own, by));
  }
}

// Whether f(lane) is true in any lane; in which, a bit each.
template <class F>
TF_PAIRWISE_DEVICE bool AnyLane(const F& f) {
  return __any_sync(~0u, f(static_cast<int>(threadIdx.x) % kWarp)) != 0;
}
template <class F>
TF_PAIRWISE_DEVICE unsigned WhichLanes(const F& f) {
  return __ballot_sync(~0u, f(static_cast<int>(threadIdx.x) % kWarp));
}

TF_PAIRWISE_DEVICE unsigned BitsOf(float x) { return __float_as_uint(x); }
TF_PAIRWISE_DEVICE float FloatOf(unsigned bits) {
  return __uint_as_float(bits);
}

// c += a b, of fragments of m16n8k8 in tf32. c(lane), a(lane) and b(lane) are
// the lane's own.
template <class C, class A, class B>
TF_PAIRWISE_DEVICE void MultiplyTf32(const C& c, const A& a, const B& b) {
#if __CUDA_ARCH__ >= 800
  float (&to)[4] = c(0);
  const unsigned (&left)[4] = a(0);
  const unsigned (&right)[2] = b(0);
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(to[0]), "+f"(to[1]), "+f"(to[2]), "+f"(to[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]),
        "r"(right[1]));
#else
  asm volatile("trap;");  // is not launched there (ProductsFor)
#endif
}

#else

template <typename V>
struct PerLane {
  V lanes[kWarp];
  V& operator[](int lane) { return lanes[lane]; }
  const V& operator[](int lane) const { return lanes[lane]; }
};

template <class F>
void InLanes(const F& f) {
  EachLane(f);
}

template <int kCount, typename V, class Op>
void ReduceGroups(PerLane<V>& values, const Op& op) {
  for (int by = 1; by < kCount; by *= 2) {
    const PerLane<V> old = values;
    for (int i = 0; i < kWarp; ++i) values[i] = op(old[i], old[i ^ by]);
  }
}

template <class F>
unsigned WhichLanes(const F& f) {
  unsigned bits = 0;
  EachLane([&](int lane) { bits |= (f(lane) ? 1u : 0u) << lane; });
  return bits;
}
template <class F>
bool AnyLane(const F& f) {
  return WhichLanes(f) != 0;
}

inline unsigned BitsOf(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}
inline float FloatOf(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

// Lane 4 g + t has of A the elements (g, t), (g + 8, t), (g, t + 4) and
// (g + 8, t + 4), of B (t, g) and (t + 4, g), of C (g, 2 t), (g, 2 t + 1),
// (g + 8, 2 t) and (g + 8, 2 t + 1): PTX, "Matrix Fragments for mma.m16n8k8".
// The lower 13 bits of A and B are not read.
template <class C, class A, class B>
void MultiplyTf32(const C& c, const A& a, const B& b) {
  float left[16][8], right[8][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int e = 0; e < 4; ++e) {
      left[g + e % 2 * 8][t + e / 2 * 4] = FloatOf(a(lane)[e] & 0xffffe000u);
    }
    for (int e = 0; e < 2; ++e) {
      right[t + 4 * e][g] = FloatOf(b(lane)[e] & 0xffffe000u);
    }
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    for (int e = 0; e < 4; ++e) {
      const int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
      double sum = static_cast<double>(c(lane)[e]);
      for (int k = 0; k < 8; ++k) {
        sum += static_cast<double>(left[row][k]) *
               static_cast<double>(right[k][column]);
      }
      c(lane)[e] = static_cast<float>(sum);
    }
  }
}

#endif

// An operand's element as tensor cores take it: one tf32, or two.
template <int kTerms>
struct Tf32Terms {
  unsigned big, small;

  TF_PAIRWISE_DEVICE explicit Tf32Terms(float x) : big(BitsOf(x)), small(0) {
    if constexpr (kTerms == 3) {
      big &= 0xffffe000u;
      small = BitsOf(x - FloatOf(big));
    }
  }
};

struct CudaCores {
  static constexpr const char* kName = "";
  static constexpr int kTerms = 1;
  // Lanes that share rows; a lane's rows of a tile.
  static constexpr int kRowLanes = 8, kRows = 4;
  static constexpr bool kIsTensor = false;

  static TF_PAIRWISE_DEVICE int Row(int lane, int i) {
    return lane / 8 + 4 * i;
  }
  static TF_PAIRWISE_DEVICE int Column(int lane, int j) {
    return lane % 8 + 8 * j;
  }
  // Columns of a tile of sums, which come in packs.
  static TF_PAIRWISE_DEVICE int Coordinate(int lane, int j) {
    return lane % 8 * 4 + j / 4 * 32 + j % 4;
  }

  template <int kColumns>
  struct Part {
    float v[kRows][kColumns / kRowLanes];
    TF_PAIRWISE_DEVICE float& At(int i, int j) { return v[i][j]; }
    TF_PAIRWISE_DEVICE float At(int i, int j) const { return v[i][j]; }
  };

  // x y^T over `depth` coordinates, a multiple of 16, of lines of kLine packs.
  template <int kColumns, int kLine>
  static TF_PAIRWISE_DEVICE void Multiply(const Pack<float>* x,
                                          const Pack<float>* y, int depth,
                                          PerLane<Part<kColumns>>& tile) {
    InLanes([&](int lane) {
      auto& v = tile[lane].v;
      TF_PAIRWISE_UNROLL for (int i = 0; i < kRows; ++i) {
        TF_PAIRWISE_UNROLL for (int j = 0; j < kColumns / kRowLanes; ++j) {
          v[i][j] = 0;
        }
      }
      const Pack<float>* const rows = x + Row(lane, 0) * kLine;
      const Pack<float>* const columns = y + Column(lane, 0) * kLine;
      TF_PAIRWISE_LOOP for (int first = 0; first < depth / 4; first += 2) {
        TF_PAIRWISE_UNROLL for (int p = first; p < first + 2; ++p) {
          Pack<float> a[kRows];
          TF_PAIRWISE_UNROLL for (int i = 0; i < kRows; ++i) {
            a[i] = rows[4 * i * kLine + p];
          }
          TF_PAIRWISE_UNROLL for (int j = 0; j < kColumns / kRowLanes; ++j) {
            const Pack<float> b = columns[8 * j * kLine + p];
            TF_PAIRWISE_UNROLL for (int e = 0; e < 4; ++e) {
              TF_PAIRWISE_UNROLL for (int i = 0; i < kRows; ++i) {
                v[i][j] = MulAdd(a[i].v[e], b.v[e], v[i][j]);
              }
            }
          }
        }
      }
    });
  }

  // What a warp's weights go through, some columns at a time.
  static constexpr int kOwnColumns = 16;
  static constexpr int kOwnLine = LinePacks(kOwnColumns);
  struct Own {
    Pack<float> lines[kWarpRows * kOwnLine];
  };

  // sums += w y, over the kColumns points of y.
  template <int kColumns, int kWidth, int kLine>
  static TF_PAIRWISE_DEVICE void Accumulate(const PerLane<Part<kColumns>>& w,
                                            const Pack<float>* y, Own& own,
                                            PerLane<Part<kWidth>>& sums) {
    constexpr int kAtOnce = kOwnColumns / kRowLanes;
    TF_PAIRWISE_UNROLL for (int first = 0; first < kColumns / kRowLanes;
                            first += kAtOnce) {
      EachLane([&](int lane) {
        TF_PAIRWISE_UNROLL for (int i = 0; i < kRows; ++i) {
          TF_PAIRWISE_UNROLL for (int j = 0; j < kAtOnce; ++j) {
            const int column = Column(lane, j);
            own.lines[Row(lane, i) * kOwnLine + column / 4].v[column % 4] =
                w[lane].v[i][first + j];
          }
        }
      });
      EachLane([&](int lane) {
        auto& v = sums[lane].v;
        const Pack<float>* const rows = own.lines + Row(lane, 0) * kOwnLine;
        const Pack<float>* const points = y + 8 * first * kLine + lane % 8;
        TF_PAIRWISE_LOOP for (int p = 0; p < kOwnColumns / 4; ++p) {
          Pack<float> a[kRows];
          TF_PAIRWISE_UNROLL for (int i = 0; i < kRows; ++i) {
            a[i] = rows[4 * i * kOwnLine + p];
          }
          TF_PAIRWISE_UNROLL for (int e = 0; e < 4; ++e) {
            TF_PAIRWISE_UNROLL for (int j = 0; j < kWidth / 32; ++j) {
              const Pack<float> b = points[(4 * p + e) * kLine + 8 * j];
              TF_PAIRWISE_UNROLL for (int i = 0; i < kRows; ++i) {
                TF_PAIRWISE_UNROLL for (int c = 0; c < 4; ++c) {
                  v[i][4 * j + c] = MulAdd(a[i].v[e], b.v[c], v[i][4 * j + c]);
                }
              }
            }
          }
        }
      });
    }
  }
};

// kProducts for one: 1 or 3.
template <int kProducts>
struct TensorCores {
  static constexpr const char* kName = kProducts == 1 ? "tf32_" : "tf32x3_";
  static constexpr int kTerms = kProducts;
  static constexpr int kRowLanes = 4, kRows = 2;
  static constexpr bool kIsTensor = true;
  using Terms = Tf32Terms<kTerms>;

  static TF_PAIRWISE_DEVICE int Row(int lane, int i) {
    return lane / 4 + 8 * i;
  }
  static TF_PAIRWISE_DEVICE int Column(int lane, int j) {
    return lane % 4 * 2 + j / 2 * 8 + j % 2;
  }
  static TF_PAIRWISE_DEVICE int Coordinate(int lane, int j) {
    return Column(lane, j);
  }

  template <int kColumns>
  struct Part {
    float v[kColumns / 8][4];
    TF_PAIRWISE_DEVICE float& At(int i, int j) {
      return v[j / 2][2 * i + j % 2];
    }
    TF_PAIRWISE_DEVICE float At(int i, int j) const {
      return v[j / 2][2 * i + j % 2];
    }
  };

  // The fragments of a multiplication: big and small.
  struct Left {
    unsigned big[4], small[4];
  };
  struct Right {
    unsigned big[2], small[2];
  };
  struct Sum {
    float v[4];
  };

  static TF_PAIRWISE_DEVICE void Load(const float (&from)[4], Left& to) {
    LoadTerms<Terms>(from, to);
  }
  static TF_PAIRWISE_DEVICE void LoadWeights(const float (&from)[4], Left& to) {
    LoadTerms<Tf32Terms<3>>(from, to);
  }
  template <class T>
  static TF_PAIRWISE_DEVICE void LoadTerms(const float (&from)[4], Left& to) {
    TF_PAIRWISE_UNROLL for (int e = 0; e < 4; ++e) {
      const T terms(from[e]);
      to.big[e] = terms.big;
      to.small[e] = terms.small;
    }
  }
  static TF_PAIRWISE_DEVICE void Load(float first, float second, Right& to) {
    const Terms terms[2] = {Terms(first), Terms(second)};
    TF_PAIRWISE_UNROLL for (int e = 0; e < 2; ++e) {
      to.big[e] = terms[e].big;
      to.small[e] = terms[e].small;
    }
  }

  static TF_PAIRWISE_DEVICE void Clear(PerLane<Sum>& sum) {
    InLanes([&](int lane) {
      TF_PAIRWISE_UNROLL for (int e = 0; e < 4; ++e) sum[lane].v[e] = 0;
    });
  }
  // sum += a b; a(lane) is the lane's Left, of two terms each or of one.
  template <bool kTwoTerms, class A>
  static TF_PAIRWISE_DEVICE void Add(PerLane<Sum>& sum, const A& a,
                                     const PerLane<Right>& b) {
    const auto c = [&](int lane) -> float (&)[4] { return sum[lane].v; };
    const auto a_big = [&](int lane) -> const unsigned (&)[4] {
      return a(lane).big;
    };
    const auto b_big = [&](int lane) -> const unsigned (&)[2] {
      return b[lane].big;
    };
    if constexpr (kTwoTerms) {
      const auto a_small = [&](int lane) -> const unsigned (&)[4] {
        return a(lane).small;
      };
      MultiplyTf32(c, a_small, b_big);
    }
    if constexpr (kTerms == 3) {
      const auto b_small = [&](int lane) -> const unsigned (&)[2] {
        return b[lane].small;
      };
      MultiplyTf32(c, a_big, b_small);
    }
    MultiplyTf32(c, a_big, b_big);
  }

  static TF_PAIRWISE_DEVICE float At(const Pack<float>* lines, int at) {
    return reinterpret_cast<const float*>(lines)[at];
  }

  template <int kColumns, int kLine>
  static TF_PAIRWISE_DEVICE void Multiply(const Pack<float>* x,
                                          const Pack<float>* y, int depth,
                                          PerLane<Part<kColumns>>& tile) {
    constexpr int kStride = 4 * kLine, kSteps = 2;
    InLanes([&](int lane) {
      TF_PAIRWISE_UNROLL for (int n = 0; n < kColumns / 8; ++n) {
        TF_PAIRWISE_UNROLL for (int e = 0; e < 4; ++e) tile[lane].v[n][e] = 0;
      }
    });
    TF_PAIRWISE_LOOP for (int k = 0; k < depth; k += 8 * kSteps) {
      PerLane<Left> a[kSteps];
      InLanes([&](int lane) {
        const int at = Row(lane, 0) * kStride + k + lane % 4;
        TF_PAIRWISE_UNROLL for (int step = 0; step < kSteps; ++step) {
          float from[4];
          TF_PAIRWISE_UNROLL for (int e = 0; e < 4; ++e) {
            from[e] = At(x, at + 8 * step + e % 2 * 8 * kStride + e / 2 * 4);
          }
          Load(from, a[step][lane]);
        }
      });
      TF_PAIRWISE_UNROLL for (int n = 0; n < kColumns / 8; ++n) {
        PerLane<Sum> sum;
        Clear(sum);
        TF_PAIRWISE_UNROLL for (int step = 0; step < kSteps; ++step) {
          PerLane<Right> b;
          InLanes([&](int lane) {
            const int at =
                (8 * n + lane / 4) * kStride + k + 8 * step + lane % 4;
            Load(At(y, at), At(y, at + 4), b[lane]);
          });
          Add<kTerms == 3>(
              sum, [&](int lane) -> const Left& { return a[step][lane]; }, b);
        }
        AddTo(sum, n, tile);
      }
    }
  }

  template <int kColumns>
  static TF_PAIRWISE_DEVICE void AddTo(const PerLane<Sum>& sum, int n,
                                       PerLane<Part<kColumns>>& tile) {
    InLanes([&](int lane) {
      TF_PAIRWISE_UNROLL for (int e = 0; e < 4; ++e) {
        tile[lane].v[n][e] += sum[lane].v[e];
      }
    });
  }

  struct Own {};

  // Of weights, a lane's columns 2 t and 2 t + 1 stand for t and t + 4 of the
  // product, so that they stay in its registers.
  template <int kColumns, int kWidth, int kLine>
  static TF_PAIRWISE_DEVICE void Accumulate(const PerLane<Part<kColumns>>& w,
                                            const Pack<float>* y, Own&,
                                            PerLane<Part<kWidth>>& sums) {
    constexpr int kStride = 4 * kLine, kSteps = kColumns / 8;
    PerLane<Left> a[kSteps];
    InLanes([&](int lane) {
      TF_PAIRWISE_UNROLL for (int step = 0; step < kSteps; ++step) {
        const float (&v)[4] = w[lane].v[step];
        const float turned[4] = {v[0], v[2], v[1], v[3]};
        LoadWeights(turned, a[step][lane]);
      }
    });
    TF_PAIRWISE_UNROLL for (int n = 0; n < kWidth / 8; ++n) {
      PerLane<Sum> sum;
      Clear(sum);
      TF_PAIRWISE_UNROLL for (int step = 0; step < kSteps; ++step) {
        PerLane<Right> b;
        InLanes([&](int lane) {
          const int at = (8 * step + lane % 4 * 2) * kStride + 8 * n + lane / 4;
          Load(At(y, at), At(y, at + kStride), b[lane]);
        });
        Add<true>(
            sum, [&](int lane) -> const Left& { return a[step][lane]; }, b);
      }
      AddTo(sum, n, sums);
    }
  }
};

using Tf32 = TensorCores<1>;
using Tf32x3 = TensorCores<3>;

}  // namespace tf_pairwise

#endif  // TF_PAIRWISE_CUDA_WARP_TILE_H_

// Products for any format, and for few rows.
#include "linear.cuh"

STRUCT(LinearArgs)

// plain: every format and width, float32 arithmetic. A warp makes two columns of up
// to eight rows; the grid is (columns / 16, rows / 8).
extern "C" __global__ void __launch_bounds__(256) plain(const __grid_constant__ LinearArgs a) {
  waitPrior();
  letNext();
  int lane = threadIdx.x % 32, n = (blockIdx.x * 8 + threadIdx.x / 32) * 2, m0 = blockIdx.y * 8;
  if (n >= a.w.n) return;
  int rows = min(8, a.rows - m0);
  bool two = n + 1 < a.w.n;
  float acc[2][8] = {};
  for (int k = lane; k < a.w.k; k += 32) {
    float w0 = element(a.w, n, k), w1 = two ? element(a.w, n + 1, k) : 0.f;
#pragma unroll
    for (int m = 0; m < 8; m++) {
      if (m >= rows) break;
      float x = load(a.x, a.xType, (i64)(m0 + m) * a.xStride + k);
      acc[0][m] += w0 * x;
      acc[1][m] += w1 * x;
    }
  }
#pragma unroll
  for (int m = 0; m < 8; m++) {
    float v0 = warpSum(acc[0][m]), v1 = warpSum(acc[1][m]);
    if (lane == 0 && m < rows) emit(a, m0 + m, n, v0, v1);
  }
}

struct NarrowArgs {
  u16* p;
  u32* beyond; // set to 1 if a number does not fit
  i64 n;
};
STRUCT(NarrowArgs)

// narrow turns bfloat16 into half floats in place. Both have 16 bits; numbers from
// 2^-17 on come out as they were, smaller ones within 2^-25.
extern "C" __global__ void narrow(const __grid_constant__ NarrowArgs a) {
  bool beyond = false;
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < a.n; i += (i64)gridDim.x * blockDim.x) {
    float v = tof(bf16{a.p[i]});
    beyond |= !(fabsf(v) <= 65504.f);
    a.p[i] = fromf<f16>(v).bits;
  }
  if (beyond) *a.beyond = 1;
}

struct DequantArgs {
  Matrix w;
  f16* out; // [rows, w.k]
  int first, rows;
};
STRUCT(DequantArgs)

// dequant writes rows of a block format as half floats, eight elements a thread.
extern "C" __global__ void dequant(const __grid_constant__ DequantArgs a) {
  waitPrior();
  letNext();
  int per = a.w.k / 8;
  i64 n = (i64)a.rows * per;
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (i64)gridDim.x * blockDim.x) {
    i64 r = i / per;
    int k = (int)(i % per) * 8;
    uint4 v;
    u32* p = &v.x;
    for (int j = 0; j < 4; j++) p[j] = pack2<f16>(element(a.w, a.first + r, k + 2 * j), element(a.w, a.first + r, k + 2 * j + 1));
    ((uint4*)a.out)[i] = v;
  }
}

// Products of up to 16 rows: the weights stream from memory straight into the
// registers of matrix instructions, as the operand with eight columns; the rows of x
// are the operand with sixteen. A dot product does not mind the order of its terms,
// so each thread takes 16 consecutive bytes of a row of w and the same elements of x
// whatever place the instruction gives them.
//
// Format describes how a quad of threads reads STEP elements of a row: thread t gets
// GROUPS groups of eight elements from offset(i, t).
template <class T> struct Plain16 {
  typedef T X;
  static constexpr int STEP = 64, GROUPS = 2;
  struct Raw { uint4 v[2]; };
  static __device__ __forceinline__ int offset(int i, int t) { return i * 32 + t * 8; }
  // fetch loads AHEAD steps before their use, so that the registers of a warp hold what
  // is on its way.
  static __device__ __forceinline__ void fetch(Raw& r, const Matrix& w, int n, int k, int t) {
    const T* p = (const T*)w.q + (i64)n * w.k;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      int at = k + i * 32 + t * 8;
      r.v[i] = n < w.n && at < w.k ? read16(p + at) : make_uint4(0, 0, 0, 0);
    }
  }
  static __device__ __forceinline__ uint4 group(const Raw& r, int i) { return r.v[i]; }
};

__device__ __forceinline__ u32 sub2(u32 a, u32 b) { u32 r; asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b)); return r; }
__device__ __forceinline__ u32 mul2(u32 a, u32 b) { u32 r; asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b)); return r; }
__device__ __forceinline__ u32 fma2(u32 a, u32 b, u32 c) { u32 r; asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c)); return r; }
__device__ __forceinline__ u32 twice(u16 h) { return (u32)h << 16 | h; }

struct Block8 {
  typedef f16 X;
  static constexpr int STEP = 64, GROUPS = 2;
  struct Raw { uint4 v; u32 d; };
  static __device__ __forceinline__ int offset(int i, int t) { return t * 16 + i * 8; }
  static __device__ __forceinline__ void fetch(Raw& r, const Matrix& w, int n, int k, int t) {
    int at = k + t * 16;
    r.v = make_uint4(0, 0, 0, 0);
    r.d = 0;
    if (n >= w.n || at >= w.k) return;
    r.v = read16((const u8*)w.q + (i64)n * w.k + at);
    r.d = twice(w.d[(i64)n * (w.k / 32) + at / 32].bits);
  }
  // 0x64xx is the half float 1024 + xx.
  static __device__ __forceinline__ u32 pair(u32 word, u32 select, u32 d) {
    return mul2(sub2(__byte_perm(word ^ 0x80808080u, 0x64646464u, select), 0x64806480u), d);
  }
  static __device__ __forceinline__ uint4 group(const Raw& r, int i) {
    u32 a = i ? r.v.z : r.v.x, b = i ? r.v.w : r.v.y;
    return make_uint4(pair(a, 0x4140, r.d), pair(a, 0x4342, r.d), pair(b, 0x4140, r.d), pair(b, 0x4342, r.d));
  }
};

template <bool MIN> struct Block4 {
  typedef f16 X;
  static constexpr int STEP = 128, GROUPS = 4;
  struct Raw { uint4 v; u32 d, m; };
  static __device__ __forceinline__ int offset(int i, int t) { return t * 32 + i * 8; }
  static __device__ __forceinline__ void fetch(Raw& r, const Matrix& w, int n, int k, int t) {
    int at = k + t * 32;
    r.v = make_uint4(0, 0, 0, 0);
    r.d = r.m = 0;
    if (n >= w.n || at >= w.k) return;
    i64 block = (i64)n * (w.k / 32) + at / 32;
    r.v = read16((const u8*)w.q + block * 16);
    r.d = twice(w.d[block].bits);
    if (MIN) r.m = twice(w.m[block].bits);
  }
  static __device__ __forceinline__ u32 pair(u32 word, u32 select, const Raw& r) {
    u32 h = __byte_perm(word & 0x0f0f0f0fu, 0x64646464u, select);
    return MIN ? fma2(sub2(h, 0x64006400u), r.d, r.m) : mul2(sub2(h, 0x64086408u), r.d);
  }
  // Groups 0 and 1 are the low nibbles of the block's 16 bytes, 2 and 3 the high ones.
  static __device__ __forceinline__ uint4 group(const Raw& r, int i) {
    u32 a = i % 2 ? r.v.z : r.v.x, b = i % 2 ? r.v.w : r.v.y;
    if (i >= 2) a >>= 4, b >>= 4;
    return make_uint4(pair(a, 0x4140, r), pair(a, 0x4342, r), pair(b, 0x4140, r), pair(b, 0x4342, r));
  }
};

// A block has eight warps; splits of them share a tile of eight columns along k. The
// grid may be smaller than the number of tiles: blocks go on to the next.
template <class F, bool MANY, int AHEAD> __device__ __forceinline__ void skinnyBody(const LinearArgs& a) {
  typedef typename F::X X;
  extern __shared__ uint4 dynamic[];
  __shared__ float part[8][128];
  __shared__ float scratch[33];
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  int perBlock = 8 / a.splits, rank = warp % a.splits, slot = warp / a.splits;
  int tiles = (a.w.n + 7) / 8, steps = (a.w.k + F::STEP - 1) / F::STEP;
  int per = (steps + a.splits - 1) / a.splits, k0 = rank * per * F::STEP;
  int stride = gridDim.x * perBlock, first = blockIdx.x * perBlock;
  int rounds = first < tiles ? (tiles - first + stride - 1) / stride : 0, total = rounds * per;

  typename F::Raw raw[AHEAD];
  int fetched = 0, fetchStep = 0, fetchTile = first + slot;
  auto fetch = [&](typename F::Raw& r) {
    if (fetched < total) {
      F::fetch(r, a.w, fetchTile * 8 + g, k0 + fetchStep * F::STEP, t);
      fetched++;
      if (++fetchStep == per) fetchStep = 0, fetchTile += stride;
    }
  };
#pragma unroll
  for (int j = 0; j < AHEAD; j++) fetch(raw[j]);
  begin(a);
  // What is added at the end is on its way while the sums are made.
  int step = 0, tile = first + slot;
  float2 add[2] = {make_float2(0, 0), make_float2(0, 0)};
  auto meet = [&] {
    if (rank > 0) return;
    add[0] = addends(a, g, tile * 8 + 2 * t);
    if (MANY) add[1] = addends(a, g + 8, tile * 8 + 2 * t);
  };
  meet();

  const X* x = (const X*)a.x;
  int xStride = a.xStride;
  // Rows in shared memory are 64 bytes apart modulo the banks' 128.
  X* own = (X*)dynamic;
  int ownStride = (a.w.k + 63) / 64 * 64 + 32;
  if (a.norm) {
    // One row: all threads; several: a warp each, without barriers in between.
    bool one = a.rows == 1;
    int m = one ? 0 : warp, from = one ? threadIdx.x : lane, by = one ? 256 : 32;
    if (m < a.rows) {
      const float4* row = (const float4*)((const float*)a.x + (i64)m * a.xStride);
      float sum = 0;
#pragma unroll 4
      for (int i = from; i < a.w.k / 4; i += by) {
        float4 v = row[i];
        sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
      }
      float s = rsqrtf((one ? blockSum(sum, scratch) : warpSum(sum)) / a.w.k + a.eps);
#pragma unroll 4
      for (int i = from; i < a.w.k / 4; i += by) {
        float4 v = row[i], w = ((const float4*)a.norm)[i];
        ((uint2*)(own + m * ownStride))[i] = make_uint2(pack2<X>(v.x * s * w.x, v.y * s * w.y), pack2<X>(v.z * s * w.z, v.w * s * w.w));
      }
    }
    __syncthreads();
    x = own;
    xStride = ownStride;
  } else if (a.shared) {
    // All of x at once: one wait for memory instead of one per step.
    for (int m = 0; m < a.rows; m++)
      for (int i = threadIdx.x; i < a.w.k / 8; i += 256) copy16(smemAddress(own + m * ownStride + i * 8), x + (i64)m * a.xStride + i * 8, true);
    copyCommit();
    copyWait<0>();
    __syncthreads();
    x = own;
    xStride = ownStride;
  }

  float acc[4] = {};
  for (int i = 0; i < total; i += AHEAD) {
#pragma unroll
    for (int j = 0; j < AHEAD; j++) {
      if (i + j >= total) break;
      int k = k0 + step * F::STEP;
#pragma unroll
      for (int q = 0; q < F::GROUPS; q++) {
        int at = k + F::offset(q, t);
        uint4 b = F::group(raw[j], q), lo = make_uint4(0, 0, 0, 0), hi = lo;
        if (at < a.w.k) {
          if (g < a.rows) lo = *(const uint4*)(x + (i64)g * xStride + at);
          if (MANY && g + 8 < a.rows) hi = *(const uint4*)(x + (i64)(g + 8) * xStride + at);
        }
        mma<X>(acc, lo.x, hi.x, lo.y, hi.y, b.x, b.y);
        mma<X>(acc, lo.z, hi.z, lo.w, hi.w, b.z, b.w);
      }
      fetch(raw[j]);
      if (++step < per) continue;
      // The tile is complete.
      if (a.splits > 1) {
        __syncthreads();
#pragma unroll
        for (int c = 0; c < 4; c++) part[warp][c * 32 + lane] = acc[c];
        __syncthreads();
        if (rank == 0) {
          for (int s = 1; s < a.splits; s++)
#pragma unroll
            for (int c = 0; c < 4; c++) acc[c] += part[warp + s][c * 32 + lane];
        }
      }
      if (rank == 0) {
        if (a.delta) {
          if (a.flag) waitPrior();
          float2 d = lowRank(a, g, tile * 8 + 2 * t), e = make_float2(0.f, 0.f);
          if (MANY) e = lowRank(a, g + 8, tile * 8 + 2 * t);
          add[0].x += d.x, add[0].y += d.y, add[1].x += e.x, add[1].y += e.y;
        }
        emitSum(a, g, tile * 8 + 2 * t, acc[0] + add[0].x, acc[1] + add[0].y);
        if (MANY) emitSum(a, g + 8, tile * 8 + 2 * t, acc[2] + add[1].x, acc[3] + add[1].y);
      }
#pragma unroll
      for (int c = 0; c < 4; c++) acc[c] = 0;
      step = 0;
      tile += stride;
      if (i + j + 1 < total) meet();
    }
  }
}

#define SKINNY(NAME, FORMAT, LOADS) \
  extern "C" __global__ void __launch_bounds__(256, 2) NAME##_8(const __grid_constant__ LinearArgs a) { skinnyBody<FORMAT, false, LOADS>(a); } \
  extern "C" __global__ void __launch_bounds__(256) NAME##_16(const __grid_constant__ LinearArgs a) { skinnyBody<FORMAT, true, 4>(a); }

SKINNY(skinny_bf16, Plain16<bf16>, 7)
SKINNY(skinny_f16, Plain16<f16>, 7)
SKINNY(skinny_q8_0, Block8, 6)
SKINNY(skinny_q4_0, Block4<false>, 6)
SKINNY(skinny_q4_1, Block4<true>, 6)

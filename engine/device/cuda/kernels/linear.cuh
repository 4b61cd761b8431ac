// What all products out = x · wᵀ share: parameters and epilogue.
#pragma once
#include "sample.cuh"

struct LinearArgs {
  Matrix w;
  const void* x;         // [rows, xStride]
  const float* bias;     // [w.n] or null
  const float* residual; // [rows, residualStride] or null, added to the result
  const float* norm;     // skinny: [w.k] or null: x is float32 and normalised first
  void* out;             // [rows, outStride]
  float* partial;        // split products: [tiles][splits][values of a tile]
  u32* counters;         // one per tile, zero between launches
  int rows;
  int xType, xStride;
  int residualStride;
  int outType, outStride;
  int glu;    // columns 2j and 2j+1 of the product give column j = silu(even) · odd
  int splits; // gemm: blocks along k; skinny: warps along k
  float eps;
  int shared; // skinny: x is copied to shared memory first
  int tiles;  // in tops
  float2* tops; // wgmma: null, or [rows, tiles] for sample_tiles
  const SampleRow* samples;
  const void* delta; // [rows, deltaStride] or null: what adapters add to the product
  const int* slots;  // with delta: of each row, 0: nothing is added to it
  int deltaStride, deltaType; // F16 or F32
  const u32* flag; // not null: the kernel before makes delta and sets this when x is there
};

// begin waits for x. The kernel that makes delta lets this one start before it waits
// itself: then x is there when it has set the flag, and delta only after waitPrior.
__device__ __forceinline__ void begin(const LinearArgs& a) {
  if (!a.flag) {
    waitPrior();
  } else {
    if (threadIdx.x == 0) {
      u32 set;
      do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(set) : "l"(a.flag) : "memory");
      while (set == 0);
    }
    __syncthreads();
  }
  letNext();
}

// lowRank is what the adapter of row m adds to columns n and n+1 (n even).
__device__ __forceinline__ float2 lowRank(const LinearArgs& a, int m, int n) {
  if (m >= a.rows || n >= a.w.n || a.slots[m] == 0) return make_float2(0.f, 0.f);
  i64 i = (i64)m * a.deltaStride + n;
  if (a.deltaType == F32) return __ldcg((const float2*)((const float*)a.delta + i));
  u32 two = __ldcg((const u32*)((const u16*)a.delta + i));
  return make_float2(tof(f16{(u16)two}), tof(f16{(u16)(two >> 16)}));
}

// addends are what is added to columns n and n+1 (n even) of row m: bias and residual.
__device__ __forceinline__ float2 addends(const LinearArgs& a, int m, int n) {
  float2 v = make_float2(0, 0);
  if (m >= a.rows || n >= a.w.n) return v;
  bool two = n + 1 < a.w.n;
  if (a.bias) {
    v.x = a.bias[n];
    if (two) v.y = a.bias[n + 1];
  }
  if (a.residual && !a.glu) {
    i64 r = (i64)m * a.residualStride + n;
    float x = a.residual[r], y = two ? a.residual[r + 1] : 0.f;
    v.x += x, v.y += y;
  }
  return v;
}

// emitSum finishes columns n and n+1 (n even) of row m, to which nothing is to be added.
__device__ __forceinline__ void emitSum(const LinearArgs& a, int m, int n, float v0, float v1) {
  if (m >= a.rows || n >= a.w.n) return;
  bool two = n + 1 < a.w.n;
  if (a.glu) {
    store(a.out, a.outType, (i64)m * a.outStride + n / 2, silu(v0) * v1);
    return;
  }
  i64 o = (i64)m * a.outStride + n;
  if (two && a.outStride % 2 == 0) {
    if (a.outType == F32) *(float2*)((float*)a.out + o) = make_float2(v0, v1);
    else *(u32*)((u16*)a.out + o) = a.outType == BF16 ? pack2<bf16>(v0, v1) : pack2<f16>(v0, v1);
    return;
  }
  store(a.out, a.outType, o, v0);
  if (two) store(a.out, a.outType, o + 1, v1);
}

// emit finishes columns n and n+1 (n even) of row m.
__device__ __forceinline__ void emit(const LinearArgs& a, int m, int n, float v0, float v1) {
  float2 v = addends(a, m, n);
  if (a.delta) {
    float2 d = lowRank(a, m, n);
    v.x += d.x, v.y += d.y;
  }
  emitSum(a, m, n, v0 + v.x, v1 + v.y);
}

// emitRow finishes N pairs of columns of row m: pair j has columns n + 8 j and the
// next, n even. All loads come before the stores, which the compiler cannot arrange by
// itself because it does not know that they do not meet.
template <int N> __device__ __forceinline__ void emitRow(const LinearArgs& a, int m, int n, float (&v)[N][2]) {
  if (m >= a.rows) return;
  if (n + 8 * (N - 1) + 2 > a.w.n || a.w.n % 2 || a.outStride % 2 || a.residualStride % 2) {
#pragma unroll
    for (int j = 0; j < N; j++) emit(a, m, n + 8 * j, v[j][0], v[j][1]);
    return;
  }
  if (a.bias) {
    float2 b[N];
#pragma unroll
    for (int j = 0; j < N; j++) b[j] = *(const float2*)(a.bias + n + 8 * j);
#pragma unroll
    for (int j = 0; j < N; j++) v[j][0] += b[j].x, v[j][1] += b[j].y;
  }
  if (a.delta) {
    float2 d[N];
#pragma unroll
    for (int j = 0; j < N; j++) d[j] = lowRank(a, m, n + 8 * j);
#pragma unroll
    for (int j = 0; j < N; j++) v[j][0] += d[j].x, v[j][1] += d[j].y;
  }
  if (a.glu) {
    i64 o = (i64)m * a.outStride + n / 2;
    if (a.outType == F32 || a.outStride % 4) {
#pragma unroll
      for (int j = 0; j < N; j++) store(a.out, a.outType, o + 4 * j, silu(v[j][0]) * v[j][1]);
      return;
    }
    // Half floats: lanes of a pair swap, so that the even one stores two neighbours of
    // one group of columns and the odd one two of the next.
    int lane = threadIdx.x % 32, odd = lane & 1;
#pragma unroll
    for (int j = 0; j + 1 < N; j += 2) {
      float p = fastSilu(v[j][0]) * v[j][1], q = fastSilu(v[j + 1][0]) * v[j + 1][1];
      float other = __shfl_xor_sync(0xfu << (lane & ~3), odd ? p : q, 1);
      float lo = odd ? other : p, hi = odd ? q : other;
      u32 pair = a.outType == BF16 ? pack2<bf16>(lo, hi) : pack2<f16>(lo, hi);
      *(u32*)((u16*)a.out + o - odd + 4 * (j + odd)) = pair;
    }
    return;
  }
  if (a.residual) {
    const float* p = a.residual + (i64)m * a.residualStride + n;
    float2 b[N];
#pragma unroll
    for (int j = 0; j < N; j++) b[j] = *(const float2*)(p + 8 * j);
#pragma unroll
    for (int j = 0; j < N; j++) v[j][0] += b[j].x, v[j][1] += b[j].y;
  }
  i64 o = (i64)m * a.outStride + n;
  if (a.outType == F32) {
#pragma unroll
    for (int j = 0; j < N; j++) *(float2*)((float*)a.out + o + 8 * j) = make_float2(v[j][0], v[j][1]);
  } else {
#pragma unroll
    for (int j = 0; j < N; j++) *(u32*)((u16*)a.out + o + 8 * j) = a.outType == BF16 ? pack2<bf16>(v[j][0], v[j][1]) : pack2<f16>(v[j][0], v[j][1]);
  }
}

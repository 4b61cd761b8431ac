// What all products out = x · wᵀ share: parameters and epilogue.
#pragma once
#include "common.cuh"

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
  int pad;
};

// emit finishes columns n and n+1 (n even) of row m.
__device__ __forceinline__ void emit(const LinearArgs& a, int m, int n, float v0, float v1) {
  if (m >= a.rows || n >= a.w.n) return;
  bool two = n + 1 < a.w.n;
  if (a.bias) {
    v0 += a.bias[n];
    if (two) v1 += a.bias[n + 1];
  }
  if (a.glu) {
    store(a.out, a.outType, (i64)m * a.outStride + n / 2, silu(v0) * v1);
    return;
  }
  if (a.residual) {
    i64 r = (i64)m * a.residualStride + n;
    v0 += a.residual[r];
    if (two) v1 += a.residual[r + 1];
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

// Products of many rows on the tensor cores (mma.sync), fed by asynchronous copies
// through a ring of shared-memory stages. 16-byte pieces of a row are stored at
// their number xor the row, so that neither copies nor ldmatrix meet bank conflicts.
#include "linear.cuh"

template <class T, int BM, int BN, int WM, int WN, int STAGES>
__device__ __forceinline__ void gemmBody(const LinearArgs& a) {
  constexpr int BK = 64, WARPS = (BM / WM) * (BN / WN), THREADS = WARPS * 32;
  constexpr int MI = WM / 16, NI = WN / 8, VALUES = MI * NI * 4;
  constexpr int STAGE = (BM + BN) * BK * 2;
  extern __shared__ uint4 dynamic[];
  __shared__ u32 arrived;
  u32 base = smemAddress(dynamic);
  int tid = threadIdx.x, warp = tid / 32, lane = tid % 32;
  int m0 = blockIdx.x * BM, n0 = blockIdx.y * BN;
  int wm = (warp % (BM / WM)) * WM, wn = (warp / (BM / WM)) * WN;
  int steps = (a.w.k + BK - 1) / BK, per = (steps + a.splits - 1) / a.splits;
  int s0 = blockIdx.z * per, s1 = min(steps, s0 + per);

  // A thread copies the same piece of every APART-th row.
  constexpr int RA = BM * 8 / THREADS, RB = BN * 8 / THREADS, APART = THREADS / 8;
  int row = tid / 8, piece = tid % 8;
  u32 place = row * 128 + ((piece ^ (row & 7)) << 4);
  const T* x = (const T*)a.x + (i64)(m0 + row) * a.xStride + piece * 8;
  const T* w = (const T*)a.w.q + (i64)(n0 + row) * a.w.k + piece * 8;
  i64 xStep = (i64)APART * a.xStride, wStep = (i64)APART * a.w.k;
  auto fill = [&](int step) {
    u32 to = base + (step % STAGES) * STAGE + place;
    int k = step * BK;
    bool in = k + piece * 8 < a.w.k;
#pragma unroll
    for (int i = 0; i < RA; i++) {
      bool on = in && m0 + row + i * APART < a.rows;
      copy16(to + i * APART * 128, on ? x + i * xStep + k : (const T*)a.x, on);
    }
#pragma unroll
    for (int i = 0; i < RB; i++) {
      bool on = in && n0 + row + i * APART < a.w.n;
      copy16(to + BM * 128 + i * APART * 128, on ? w + i * wStep + k : (const T*)a.w.q, on);
    }
  };

  waitPrior();
  letNext();
  float acc[MI][NI][4] = {};
#pragma unroll
  for (int i = 0; i < STAGES - 1; i++) {
    if (s0 + i < s1) fill(s0 + i);
    copyCommit();
  }
  for (int step = s0; step < s1; step++) {
    copyWait<STAGES - 2>();
    __syncthreads();
    if (step + STAGES - 1 < s1) fill(step + STAGES - 1);
    copyCommit();
    u32 from = base + (step % STAGES) * STAGE;
#pragma unroll
    for (int kk = 0; kk < BK / 16; kk++) {
      u32 fa[MI][4], fb[NI / 2][4];
#pragma unroll
      for (int i = 0; i < MI; i++) {
        int r = wm + i * 16 + lane % 16, c = kk * 2 + lane / 16;
        ldmatrix4(fa[i], from + r * 128 + ((c ^ (r & 7)) << 4));
      }
#pragma unroll
      for (int i = 0; i < NI / 2; i++) {
        int r = wn + i * 16 + lane / 16 * 8 + lane % 8, c = kk * 2 + lane / 8 % 2;
        ldmatrix4(fb[i], from + BM * 128 + r * 128 + ((c ^ (r & 7)) << 4));
      }
#pragma unroll
      for (int i = 0; i < MI; i++)
#pragma unroll
        for (int j = 0; j < NI; j++)
          mma<T>(acc[i][j], fa[i][0], fa[i][1], fa[i][2], fa[i][3], fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]);
    }
  }
  copyWait<0>();

  if (a.splits > 1) {
    // Every block leaves its sums; the last of a tile adds all in their order.
    i64 tile = (i64)blockIdx.y * gridDim.x + blockIdx.x;
    float* mine = a.partial + ((tile * a.splits + blockIdx.z) * VALUES) * THREADS + tid;
#pragma unroll
    for (int i = 0; i < VALUES; i++) mine[i * THREADS] = acc[i / 4 / NI][i / 4 % NI][i % 4];
    __threadfence();
    __syncthreads();
    if (tid == 0) {
      arrived = atomicAdd(&a.counters[tile], 1);
      if (arrived == a.splits - 1) a.counters[tile] = 0;
    }
    __syncthreads();
    if (arrived != a.splits - 1) return;
    __threadfence();
    const float* all = a.partial + tile * a.splits * VALUES * THREADS + tid;
#pragma unroll
    for (int i = 0; i < VALUES; i++) acc[i / 4 / NI][i / 4 % NI][i % 4] = 0;
    for (int s = 0; s < a.splits; s++)
#pragma unroll
      for (int i = 0; i < VALUES; i++) acc[i / 4 / NI][i / 4 % NI][i % 4] += __ldcg(all + (s * VALUES + i) * THREADS);
  }
  int g = lane / 4, t = lane % 4;
#pragma unroll
  for (int i = 0; i < MI; i++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      float v[NI][2];
#pragma unroll
      for (int j = 0; j < NI; j++) v[j][0] = acc[i][j][2 * h], v[j][1] = acc[i][j][2 * h + 1];
      emitRow<NI>(a, m0 + wm + i * 16 + g + 8 * h, n0 + wn + 2 * t, v);
    }
}

#define GEMM(NAME, T) \
  extern "C" __global__ void __launch_bounds__(256, 2) NAME##_128(const __grid_constant__ LinearArgs a) { gemmBody<T, 128, 128, 64, 32, 3>(a); } \
  extern "C" __global__ void __launch_bounds__(128) NAME##_64(const __grid_constant__ LinearArgs a) { gemmBody<T, 64, 64, 32, 32, 4>(a); } \
  extern "C" __global__ void __launch_bounds__(128) NAME##_32(const __grid_constant__ LinearArgs a) { gemmBody<T, 32, 64, 16, 32, 5>(a); }

GEMM(gemm_bf16, bf16)
GEMM(gemm_f16, f16)

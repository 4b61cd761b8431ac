// Products of many rows with Hopper's warpgroup instructions (sm_90a only; elsewhere
// the kernels are empty and never started). Tiles lie in shared memory as in gemm.cu:
// rows of 128 bytes, 16-byte pieces at their number xor the row, which is the layout
// that the instructions call 128-byte swizzling. Small blocks share a multiprocessor, so
// that one copies and finishes while another multiplies; the largest, with four
// warpgroups, has one for itself and reads a quarter less for the same work.
#include "linear.cuh"
#include "wgmma.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// FLY is how many steps' instructions may still run while the next are issued: 1 where a
// block has a multiprocessor for itself.
template <class T, int BM, int BN, int STAGES, int FLY> __device__ __forceinline__ void wgmmaBody(const LinearArgs& a) {
  constexpr int BK = 64, FILL = STAGES - 1 - FLY, THREADS = BM * 2, VALUES = BN / 2, STAGE = (BM + BN) * 128;
  constexpr int RA = BM * 8 / THREADS, RB = BN * 8 / THREADS, APART = THREADS / 8;
  extern __shared__ uint4 dynamic[];
  __shared__ u32 arrived;
  u32 base = (smemAddress(dynamic) + 1023) & ~1023u;
  int tid = threadIdx.x, warp = tid / 32, lane = tid % 32;
  // Blocks that run together take 16 tiles of rows and as many of columns as there are
  // blocks: their operands stay in the second-level cache.
  constexpr int BAND = 16;
  int linear = blockIdx.y * gridDim.x + blockIdx.x, band = linear / (BAND * gridDim.y), inBand = linear - band * BAND * gridDim.y;
  int high = min(BAND, (int)gridDim.x - band * BAND), mTile = band * BAND + inBand % high, nTile = inBand / high;
  int m0 = mTile * BM, n0 = nTile * BN;
  int steps = (a.w.k + BK - 1) / BK, per = (steps + a.splits - 1) / a.splits;
  int s0 = blockIdx.z * per, s1 = min(steps, s0 + per);

  // A thread copies the same piece of every APART-th row.
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
  float acc[BN / 8][4];
#pragma unroll
  for (int i = 0; i < VALUES; i++) acc[i / 4][i % 4] = 0;
#pragma unroll
  for (int i = 0; i < FILL; i++) {
    if (s0 + i < s1) fill(s0 + i);
    copyCommit();
  }
  for (int step = s0; step < s1; step++) {
    copyWait<FILL - 1>();
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    u32 from = base + (step % STAGES) * STAGE;
    u64 da = describe(from + warp / 4 * 64 * 128), db = describe(from + BM * 128);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int kk = 0; kk < BK / 16; kk++) Wgmma<T, BN>::run(acc, da + kk * 2, db + kk * 2);
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    if (step + FILL < s1) fill(step + FILL);
    copyCommit();
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(FLY) : "memory");
  }
#pragma unroll
  for (int i = 0; i < BN / 8; i++) asm volatile("" : "+f"(acc[i][0]), "+f"(acc[i][1]), "+f"(acc[i][2]), "+f"(acc[i][3])::"memory");
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
  for (int i = 0; i < BN / 8; i++) asm volatile("" : "+f"(acc[i][0]), "+f"(acc[i][1]), "+f"(acc[i][2]), "+f"(acc[i][3])::"memory");
  copyWait<0>();

  if (a.splits > 1) {
    i64 tile = (i64)blockIdx.y * gridDim.x + blockIdx.x;
    float* mine = a.partial + ((tile * a.splits + blockIdx.z) * VALUES) * THREADS + tid;
#pragma unroll
    for (int i = 0; i < VALUES; i++) mine[i * THREADS] = acc[i / 4][i % 4];
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
    for (int i = 0; i < VALUES; i++) acc[i / 4][i % 4] = 0;
    for (int s = 0; s < a.splits; s++)
#pragma unroll
      for (int i = 0; i < VALUES; i++) acc[i / 4][i % 4] += __ldcg(all + (s * VALUES + i) * THREADS);
  }
  int m = m0 + warp * 16 + lane / 4, n = n0 + 2 * (lane % 4);
  if (a.tops) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
      bool on = m + 8 * h < a.rows;
      float rate = on ? a.samples[m + 8 * h].inverse * 1.44269504088896340736f : 0.f, top = -INFINITY, sum = 0;
#pragma unroll
      for (int i = 0; i < BN / 8; i++)
#pragma unroll
        for (int e = 0; e < 2; e++)
          if (n + i * 8 + e < a.w.n) top = fmaxf(top, acc[i][2 * h + e]);
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 2));
#pragma unroll
      for (int i = 0; i < BN / 8; i++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
          float v = acc[i][2 * h + e];
          if (n + i * 8 + e < a.w.n && v > -INFINITY) sum += exp2Fast((v - top) * rate);
        }
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      if (on && lane % 4 == 0) a.tops[(i64)(m + 8 * h) * a.tiles + nTile] = make_float2(top, sum);
    }
  }
#pragma unroll
  for (int j = 0; j < BN / 8; j += 8)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      float v[8][2];
#pragma unroll
      for (int i = 0; i < 8; i++) v[i][0] = acc[j + i][2 * h], v[i][1] = acc[j + i][2 * h + 1];
      emitRow<8>(a, m + 8 * h, n + j * 8, v);
    }
}
#else
template <class T, int BM, int BN, int STAGES, int FLY> __device__ __forceinline__ void wgmmaBody(const LinearArgs& a) {}
#endif

#define KERNELS(NAME, T) \
  extern "C" __global__ void __launch_bounds__(256, 2) NAME##_128(const __grid_constant__ LinearArgs a) { wgmmaBody<T, 128, 128, 3, 0>(a); } \
  extern "C" __global__ void __launch_bounds__(512, 1) NAME##_256(const __grid_constant__ LinearArgs a) { wgmmaBody<T, 256, 128, 4, 1>(a); } \
  extern "C" __global__ void __launch_bounds__(128, 3) NAME##_64(const __grid_constant__ LinearArgs a) { wgmmaBody<T, 64, 64, 4, 0>(a); }

KERNELS(wgmma_bf16, bf16)
KERNELS(wgmma_f16, f16)

// Prefill attention with Hopper's warpgroup instructions (sm_90a only; elsewhere the
// kernels are empty and never started): FlashAttention-2's order of work with the
// products of FlashAttention-3 (arXiv:2407.08608).
#include "attention.cuh"
#include "wgmma.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// packUnit rounds numbers of [0, 1].
template <class T> __device__ __forceinline__ u32 packUnit(float a, float b);
template <> __device__ __forceinline__ u32 packUnit<bf16>(float a, float b) { return pack2<bf16>(a, b); }
template <> __device__ __forceinline__ u32 packUnit<f16>(float a, float b) {
  u32 r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(b), "f"(a));
  return r;
}

// flash: a tile of 128 queries (consecutive tokens times the heads of a KV head), 64 to
// a warpgroup, against all their keys, 64 tokens at a time through a ring of stages.
// Tiles lie in shared memory as sub-tiles of 64 columns.
template <class T, int HD, int STAGES> __device__ __forceinline__ void flashBody(const AttentionArgs& a) {
  constexpr int TOKENS = 64, SUBS = HD / 64, SUB = TOKENS * 128, QUERY = 128 * 128, STAGE = 2 * SUBS * SUB, PIECES = HD / 8;
  extern __shared__ uint4 dynamic[];
  waitPrior();
  letNext();
  // Late tiles are the long ones: they go first.
  const int* work = a.work + (gridDim.x - 1 - blockIdx.x) * 2;
  int seq = work[0], tile = work[1], kv = blockIdx.y;
  int tid = threadIdx.x, group4 = tid / 128, warp = tid / 32, lane = tid % 32, g = lane / 4, t = lane % 4;
  if (seq < 0) return;
  int row0 = a.seqs[seq * 4], rows = a.seqs[seq * 4 + 1], past = a.seqs[seq * 4 + 2];
  int group = a.heads / a.kvHeads, queries = rows * group, q0 = tile * 128;
  int end = past + min(rows - 1, (q0 + 127) / group) + 1;
  int begin = a.window > 0 ? max(0, past + q0 / group - a.window + 1) / TOKENS * TOKENS : 0;
  const int* table = a.tables + (i64)seq * a.header[0];
  i64 width = (i64)a.kvHeads * HD;
  const T* keys = (const T*)a.k + kv * HD;
  const T* values = (const T*)a.v + kv * HD;
  u32 query = (smemAddress(dynamic) + 1023) & ~1023u, base = query + SUBS * QUERY;

  auto fill = [&](int token0, int stage) {
    u32 to = base + stage * STAGE;
#pragma unroll
    for (int i = 0; i < TOKENS * PIECES / 256; i++) {
      int r = (tid + i * 256) / PIECES, c = tid % PIECES, token = token0 + r;
      bool on = token < end;
      i64 p = on ? tokenSlot(a, table, token) * width + c * 8 : 0;
      u32 at = to + c / 8 * SUB + r * 128 + ((c % 8 ^ (r & 7)) << 4);
      copy16(at, keys + p, on);
      copy16(at + SUBS * SUB, values + p, on);
    }
  };
#pragma unroll
  for (int i = 0; i < 128 * PIECES / 256; i++) {
    int r = (tid + i * 256) / PIECES, c = tid % PIECES, n = q0 + r;
    bool on = n < queries;
    const T* p = on ? (const T*)a.q + (i64)(row0 + n / group) * a.qStride + (kv * group + n % group) * HD + c * 8 : (const T*)a.q;
    copy16(query + c / 8 * QUERY + r * 128 + ((c % 8 ^ (r & 7)) << 4), p, on);
  }
#pragma unroll
  for (int i = 0; i < STAGES - 1; i++) {
    if (begin + i * TOKENS < end) fill(begin + i * TOKENS, i);
    copyCommit();
  }

  int limit[2];
#pragma unroll
  for (int h = 0; h < 2; h++) {
    int r = q0 + warp * 16 + g + 8 * h;
    limit[h] = r < queries ? past + r / group : -1;
  }
  int first = past + (q0 + group4 * 64) / group; // position of the warpgroup's first query
  float m[2] = {-INFINITY, -INFINITY}, l[2] = {0, 0}, scale = a.scale * 1.44269504088896340736f;
  float acc[SUBS][8][4], s[8][4];
#pragma unroll
  for (int i = 0; i < SUBS; i++)
#pragma unroll
    for (int j = 0; j < 8; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) acc[i][j][e] = 0;
  int stage = 0;
  for (int token0 = begin; token0 < end; token0 += TOKENS) {
    copyWait<STAGES - 2>();
    sharedWritten();
    __syncthreads();
    if (token0 + (STAGES - 1) * TOKENS < end) fill(token0 + (STAGES - 1) * TOKENS, (stage + STAGES - 1) % STAGES);
    copyCommit();
    u32 at = base + stage * STAGE;
    stage = stage + 1 == STAGES ? 0 : stage + 1;
    productsBegin();
#pragma unroll
    for (int i = 0; i < HD / 16; i++)
      Product64<T>::scores(s, describe(query + i / 4 * QUERY + group4 * SUB) + i % 4 * 2, describe(at + i / 4 * SUB) + i % 4 * 2, i > 0);
    productsCommit();
    productsWait<0>();
    pin(s);
    bool edge = token0 + TOKENS > first + 1 || a.window > 0;
    float most[2] = {m[0], m[1]};
#pragma unroll
    for (int j = 0; j < 8; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int h = e / 2;
        if (edge) {
          int token = token0 + j * 8 + 2 * t + e % 2;
          if (token > limit[h] || (a.window > 0 && token <= limit[h] - a.window)) s[j][e] = -INFINITY;
        }
        most[h] = fmaxf(most[h], s[j][e]);
      }
    float old[2], off[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
      most[h] = fmaxf(most[h], __shfl_xor_sync(~0u, most[h], 1));
      most[h] = fmaxf(most[h], __shfl_xor_sync(~0u, most[h], 2));
      off[h] = most[h] == -INFINITY ? 0.f : most[h] * scale;
      old[h] = exp2Fast(m[h] * scale - off[h]);
      m[h] = most[h];
      l[h] *= old[h];
    }
    u32 p[4][4];
#pragma unroll
    for (int j = 0; j < 8; j++) {
#pragma unroll
      for (int e = 0; e < 4; e++) {
        s[j][e] = exp2Fast(s[j][e] * scale - off[e / 2]);
        l[e / 2] += s[j][e];
      }
      p[j / 2][j % 2 * 2] = packUnit<T>(s[j][0], s[j][1]);
      p[j / 2][j % 2 * 2 + 1] = packUnit<T>(s[j][2], s[j][3]);
    }
#pragma unroll
    for (int i = 0; i < SUBS; i++)
#pragma unroll
      for (int j = 0; j < 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) acc[i][j][e] *= old[e / 2];
    productsBegin();
#pragma unroll
    for (int i = 0; i < SUBS; i++)
#pragma unroll
      for (int k = 0; k < 4; k++) Product64<T>::weigh(acc[i], p[k], describe(at + (SUBS + i) * SUB + k * 2048));
    productsCommit();
    productsWait<0>();
#pragma unroll
    for (int i = 0; i < SUBS; i++) pin(acc[i]);
  }
  copyWait<0>();
#pragma unroll
  for (int h = 0; h < 2; h++) {
    l[h] += __shfl_xor_sync(~0u, l[h], 1);
    l[h] += __shfl_xor_sync(~0u, l[h], 2);
    int r = q0 + warp * 16 + g + 8 * h;
    if (r >= queries) continue;
    float factor = 1.f / l[h];
    T* to = (T*)a.out + (i64)(row0 + r / group) * a.heads * HD + (kv * group + r % group) * HD + 2 * t;
#pragma unroll
    for (int i = 0; i < SUBS; i++)
#pragma unroll
      for (int j = 0; j < 8; j++) *(u32*)(to + i * 64 + j * 8) = pack2<T>(acc[i][j][2 * h] * factor, acc[i][j][2 * h + 1] * factor);
  }
}
#else
template <class T, int HD, int STAGES> __device__ __forceinline__ void flashBody(const AttentionArgs& a) {}
#endif

#define FLASH(T, HD, STAGES) \
  extern "C" __global__ void __launch_bounds__(256, 2) flash_##T##_##HD(const __grid_constant__ AttentionArgs a) { flashBody<T, HD, STAGES>(a); }

FLASH(bf16, 64, 3)
FLASH(bf16, 128, 2)
FLASH(f16, 64, 3)
FLASH(f16, 128, 2)

// Attention over paged keys and values, softmax in float32 with a running maximum
// (FlashAttention-2, arXiv:2307.08691).
#include "attention.cuh"

STRUCT(AttentionArgs)

// plain: any head dim up to 512 and any type. A block of four warps per row and
// head; each warp runs over every fourth token.
extern "C" __global__ void __launch_bounds__(128) attention_plain(const __grid_constant__ AttentionArgs a) {
  __shared__ float sq[512], acc[4][512], top[4], sum[4];
  waitPrior();
  letNext();
  int row = blockIdx.x, head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int seq = a.rowSeq[row];
  if (seq < 0) return;
  int position = a.positions[row], hd = a.headDim;
  const int* table = a.tables + (i64)seq * a.header[0];
  i64 width = (i64)a.kvHeads * hd, at = (i64)(head / (a.heads / a.kvHeads)) * hd;
  for (int d = threadIdx.x; d < hd; d += 128) sq[d] = load(a.q, a.type, (i64)row * a.qStride + head * hd + d) * a.scale;
  for (int d = lane; d < hd; d += 32) acc[warp][d] = 0;
  __syncthreads();
  float m = -INFINITY, l = 0;
  for (int token = (a.window > 0 ? max(0, position - a.window + 1) : 0) + warp; token <= position; token += 4) {
    i64 p = tokenSlot(a, table, token) * width + at;
    float s = 0;
    for (int d = lane; d < hd; d += 32) s += sq[d] * load(a.k, a.type, p + d);
    s = warpSum(s);
    float next = fmaxf(m, s), old = expf(m - next), w = expf(s - next);
    l = l * old + w;
    m = next;
    for (int d = lane; d < hd; d += 32) acc[warp][d] = acc[warp][d] * old + w * load(a.v, a.type, p + d);
  }
  if (lane == 0) top[warp] = m, sum[warp] = l;
  __syncthreads();
  float most = fmaxf(fmaxf(top[0], top[1]), fmaxf(top[2], top[3])), all = 0, f[4];
  for (int i = 0; i < 4; i++) {
    f[i] = sum[i] > 0 ? expf(top[i] - most) : 0.f;
    all += f[i] * sum[i];
  }
  for (int d = threadIdx.x; d < hd; d += 128) {
    float v = 0;
    for (int i = 0; i < 4; i++) v += f[i] * acc[i][d];
    store(a.out, a.type, (i64)row * a.heads * hd + head * hd + d, v / all);
  }
}

__device__ __forceinline__ float quadMax(float v) {
  v = fmaxf(v, __shfl_xor_sync(~0u, v, 1));
  return fmaxf(v, __shfl_xor_sync(~0u, v, 2));
}
__device__ __forceinline__ float quadSum(float v) {
  v += __shfl_xor_sync(~0u, v, 1);
  return v + __shfl_xor_sync(~0u, v, 2);
}

constexpr float LOG2E = 1.44269504088896340736f;

// oneHead norms and rotates a head with one warp, as the kernel heads does.
template <class T, int HD> __device__ __forceinline__ void oneHead(const T* x, T* out, const float* norm, float eps, const float2* table, int interleaved, int position, int lane) {
  constexpr int PAIRS = HD / 64;
  float u[PAIRS], v[PAIRS], sum = 0;
#pragma unroll
  for (int i = 0; i < PAIRS; i++) {
    int k = lane + 32 * i, first = interleaved ? 2 * k : k, second = interleaved ? 2 * k + 1 : k + HD / 2;
    u[i] = tof(x[first]);
    v[i] = tof(x[second]);
    sum += u[i] * u[i] + v[i] * v[i];
  }
  float s = norm ? 1.f / sqrtf(warpSum(sum) / HD + eps) : 1.f;
#pragma unroll
  for (int i = 0; i < PAIRS; i++) {
    int k = lane + 32 * i, first = interleaved ? 2 * k : k, second = interleaved ? 2 * k + 1 : k + HD / 2;
    if (norm) u[i] *= s * norm[first], v[i] *= s * norm[second];
    float2 cs = table ? table[(i64)position * (HD / 2) + k] : make_float2(1.f, 0.f);
    out[first] = fromf<T>(u[i] * cs.x - v[i] * cs.y);
    out[second] = fromf<T>(u[i] * cs.y + v[i] * cs.x);
  }
}

// decode: up to 16 queries (rows of a sequence times the heads of a KV head) against
// a part of the keys, as in Flash-Decoding: block (work, KV head, split). Keys and
// values go from memory to registers in 16-byte pieces; since neither sum over the
// head dim nor over tokens minds its order, the pieces fit the matrix instructions
// as they are (values after an 8×8 transposition within the warp). The last block
// of a work item adds the parts.
//
// With ALL the kernel does the work of heads as well. TB is the number of tokens that a
// warp takes at a time: more for few blocks, fewer so that more blocks fit.
template <class T, int HD, bool ALL, int TB> __device__ __forceinline__ void decodeBody(const AttentionArgs& a) {
  constexpr int C = HD / 32, NT = TB / 8, WIDE = HD + 2;
  __shared__ float part[4][16][WIDE];
  __shared__ float weight[64];
  __shared__ u32 last;
  __shared__ __align__(16) T own[ALL ? 16 : 1][HD];
  waitPrior();
  letNext();
  int seq = blockIdx.x, kv = blockIdx.y, split = blockIdx.z;
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  int row0 = seq, rows = 1, past;
  if (ALL) {
    past = a.positions[seq];
    if (past < 0) return;
  } else {
    seq = a.work[seq];
    if (seq < 0) return;
    row0 = a.seqs[seq * 4], rows = a.seqs[seq * 4 + 1], past = a.seqs[seq * 4 + 2];
  }
  int group = a.heads / a.kvHeads, queries = rows * group, len = past + rows;
  int begin = a.window > 0 ? max(0, past - a.window + 1) : 0;
  int chunk = (len - begin + a.splits - 1) / a.splits;
  chunk = max(256, (chunk + 4 * TB - 1) / (4 * TB) * (4 * TB));
  int active = (len - begin + chunk - 1) / chunk;
  if (split >= active) return;
  int from = begin + split * chunk, to = min(len, from + chunk);
  const int* table = a.tables + (i64)seq * a.header[0];
  i64 width = (i64)a.kvHeads * HD;
  const T* keys = (const T*)a.k + kv * HD;
  const T* values = (const T*)a.v + kv * HD;

  if (ALL) {
    for (int i = warp; i < group; i += 4)
      oneHead<T, HD>((const T*)a.q + (i64)row0 * a.qStride + (kv * group + i) * HD, own[i], a.qNorm, a.qEps, a.qTable, a.qInterleaved, past, lane);
    if (to == len) {
      i64 at = (i64)a.slots[row0] * width;
      if (warp == 3) oneHead<T, HD>((const T*)a.kNew + (i64)row0 * a.qStride + kv * HD, (T*)keys + at, a.kNorm, a.kEps, a.kTable, a.kInterleaved, past, lane);
      if (warp == 2)
        for (int d = lane; d < HD; d += 32) ((T*)values)[at + d] = ((const T*)a.vNew)[(i64)row0 * a.qStride + kv * HD + d];
    }
    __syncthreads();
  }
  uint4 q[2][C];
  int limit[2];
#pragma unroll
  for (int h = 0; h < 2; h++) {
    int r = g + 8 * h;
    limit[h] = r < queries ? past + r / group : -1;
#pragma unroll
    for (int c = 0; c < C; c++) {
      q[h][c] = make_uint4(0, 0, 0, 0);
      if (ALL) {
        if (r < queries) q[h][c] = *(const uint4*)(own[r] + c * 32 + t * 8);
      } else if (r < queries) q[h][c] = *(const uint4*)((const T*)a.q + (i64)(row0 + r / group) * a.qStride + (kv * group + r % group) * HD + c * 32 + t * 8);
    }
  }
  float m[2] = {-INFINITY, -INFINITY}, l[2] = {0, 0}, acc[C][4][4] = {};
  float scale = a.scale * LOG2E;
  for (int base = from + warp * TB; base < to; base += 4 * TB) {
    uint4 k[NT][C], v[NT][C];
#pragma unroll
    for (int i = 0; i < NT; i++) {
      int token = base + i * 8 + g;
      bool on = token < to;
      i64 p = on ? tokenSlot(a, table, token) * width + t * 8 : 0;
#pragma unroll
      for (int c = 0; c < C; c++) {
        k[i][c] = v[i][c] = make_uint4(0, 0, 0, 0);
        if (on) {
          k[i][c] = *(const uint4*)(keys + p + c * 32);
          v[i][c] = *(const uint4*)(values + p + c * 32);
        }
      }
    }
    float s[NT][4];
    float most[2] = {m[0], m[1]};
#pragma unroll
    for (int i = 0; i < NT; i++) {
#pragma unroll
      for (int e = 0; e < 4; e++) s[i][e] = 0;
#pragma unroll
      for (int c = 0; c < C; c++) {
        mma<T>(s[i], q[0][c].x, q[1][c].x, q[0][c].y, q[1][c].y, k[i][c].x, k[i][c].y);
        mma<T>(s[i], q[0][c].z, q[1][c].z, q[0][c].w, q[1][c].w, k[i][c].z, k[i][c].w);
      }
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int token = base + i * 8 + 2 * t + e % 2, h = e / 2;
        bool on = token < to && token <= limit[h] && (a.window <= 0 || token > limit[h] - a.window);
        s[i][e] = on ? s[i][e] * scale : -INFINITY;
        most[h] = fmaxf(most[h], s[i][e]);
      }
    }
    float old[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
      most[h] = quadMax(most[h]);
      old[h] = most[h] == -INFINITY ? 1.f : exp2f(m[h] - most[h]);
      m[h] = most[h];
      l[h] *= old[h];
    }
#pragma unroll
    for (int c = 0; c < C; c++)
#pragma unroll
      for (int j = 0; j < 4; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) acc[c][j][e] *= old[e / 2];
#pragma unroll
    for (int i = 0; i < NT; i += 2) {
      float p[2][4];
#pragma unroll
      for (int b = 0; b < 2; b++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          p[b][e] = s[i + b][e] == -INFINITY ? 0.f : exp2f(s[i + b][e] - m[e / 2]);
          l[e / 2] += p[b][e];
        }
      u32 a0 = pack2<T>(p[0][0], p[0][1]), a1 = pack2<T>(p[0][2], p[0][3]), a2 = pack2<T>(p[1][0], p[1][1]), a3 = pack2<T>(p[1][2], p[1][3]);
#pragma unroll
      for (int c = 0; c < C; c++) {
        mma<T>(acc[c][0], a0, a1, a2, a3, transpose8(v[i][c].x), transpose8(v[i + 1][c].x));
        mma<T>(acc[c][1], a0, a1, a2, a3, transpose8(v[i][c].y), transpose8(v[i + 1][c].y));
        mma<T>(acc[c][2], a0, a1, a2, a3, transpose8(v[i][c].z), transpose8(v[i + 1][c].z));
        mma<T>(acc[c][3], a0, a1, a2, a3, transpose8(v[i][c].w), transpose8(v[i + 1][c].w));
      }
    }
  }
#pragma unroll
  for (int h = 0; h < 2; h++) {
    l[h] = quadSum(l[h]);
    int r = g + 8 * h;
    if (t == 0) part[warp][r][HD] = m[h], part[warp][r][HD + 1] = l[h];
#pragma unroll
    for (int c = 0; c < C; c++)
#pragma unroll
      for (int j = 0; j < 4; j++)
#pragma unroll
        for (int e = 0; e < 2; e++) part[warp][r][c * 32 + t * 8 + 2 * j + e] = acc[c][j][2 * h + e];
  }
  __syncthreads();
  // weight[warp · 16 + r]: factor of each warp's part; after it the row's m and l.
  if (threadIdx.x < 16) {
    int r = threadIdx.x;
    float top = -INFINITY, sum = 0;
    for (int i = 0; i < 4; i++) top = fmaxf(top, part[i][r][HD]);
    for (int i = 0; i < 4; i++) {
      float f = part[i][r][HD] == -INFINITY ? 0.f : exp2f(part[i][r][HD] - top);
      weight[i * 16 + r] = f;
      sum += f * part[i][r][HD + 1];
    }
    part[0][r][HD] = top;
    part[0][r][HD + 1] = sum;
  }
  __syncthreads();
  i64 item = (i64)blockIdx.x * a.kvHeads + kv;
  float* mine = a.partial + (item * a.splits + split) * 16 * WIDE;
  for (int i = threadIdx.x; i < queries * HD; i += 128) {
    int r = i / HD, d = i % HD;
    float v = 0;
    for (int w = 0; w < 4; w++) v += weight[w * 16 + r] * part[w][r][d];
    if (active == 1) ((T*)a.out)[(i64)(row0 + r / group) * a.heads * HD + (kv * group + r % group) * HD + d] = fromf<T>(v / part[0][r][HD + 1]);
    else mine[r * WIDE + d] = v;
  }
  if (active == 1) return;
  if (threadIdx.x < queries) {
    mine[threadIdx.x * WIDE + HD] = part[0][threadIdx.x][HD];
    mine[threadIdx.x * WIDE + HD + 1] = part[0][threadIdx.x][HD + 1];
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(&a.counters[item], 1) == active - 1;
    if (last) a.counters[item] = 0;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  const float* parts = a.partial + item * a.splits * 16 * WIDE;
  for (int i = threadIdx.x; i < queries * HD; i += 128) {
    int r = i / HD, d = i % HD;
    float top = -INFINITY, sum = 0, v = 0;
    for (int s = 0; s < active; s++) {
      const float* p = parts + (s * 16 + r) * WIDE;
      float ms = __ldcg(p + HD), next = fmaxf(top, ms);
      if (ms == -INFINITY) continue;
      float keep = exp2f(top - next), f = exp2f(ms - next);
      v = v * keep + f * __ldcg(p + d);
      sum = sum * keep + f * __ldcg(p + HD + 1);
      top = next;
    }
    ((T*)a.out)[(i64)(row0 + r / group) * a.heads * HD + (kv * group + r % group) * HD + d] = fromf<T>(v / sum);
  }
}

// decode_one: as decode_all, for a few sequences, where each step of the way counts: 16
// warps to a block and up to eight query heads to a KV head. Keys and values of earlier
// tokens come while the kernel before still runs.
template <class T, int HD> __device__ __forceinline__ void decodeOneBody(const AttentionArgs& a) {
  constexpr int C = HD / 32, WARPS = 16, THREADS = WARPS * 32, TB = 16, WIDE = HD + 2;
  extern __shared__ uint4 dynamic[];
  float* part = (float*)dynamic; // [WARPS][8][64]
  __shared__ float tops[WARPS * 8], sums[WARPS * 8], weights[WARPS * 8];
  __shared__ __align__(16) T own[8][HD];
  __shared__ u32 last;
  int seq = blockIdx.x, kv = blockIdx.y, split = blockIdx.z;
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  int past = a.positions[seq], group = a.heads / a.kvHeads;
  int len = past + 1, begin = a.window > 0 ? max(0, len - a.window) : 0;
  int chunk = (len - begin + a.splits - 1) / a.splits;
  chunk = max(1, (chunk + WARPS * TB - 1) / (WARPS * TB)) * (WARPS * TB);
  int active = past < 0 ? 0 : (len - begin + chunk - 1) / chunk;
  int from = begin + split * chunk, to = min(len, from + chunk), token0 = from + warp * TB;
  if (split >= active) to = from;
  const int* table = a.tables + (i64)seq * a.header[0];
  i64 width = (i64)a.kvHeads * HD;
  T* keys = (T*)a.k + kv * HD;
  T* values = (T*)a.v + kv * HD;
  uint4 k[2][C], v[2][C];
  i64 at[2], now[2];
  auto locate = [&] {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      int token = token0 + i * 8 + g;
      at[i] = token < to ? tokenSlot(a, table, token) * width + t * 8 : -1;
    }
  };
  auto read = [&](const T* p, uint4 (&x)[2][C], bool late) { // late: the step's own token
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int c = 0; c < C; c++) {
        if (!late) x[i][c] = make_uint4(0, 0, 0, 0);
        if (at[i] >= 0) x[i][c] = *(const uint4*)(p + at[i] + c * 32);
      }
  };
  locate();
#pragma unroll
  for (int i = 0; i < 2; i++) {
    now[i] = -1;
    if (token0 + i * 8 + g == past) now[i] = at[i], at[i] = -1;
  }
  read(keys, k, false);
  if (HD <= 64) read(values, v, false);
  waitPrior();
  letNext();
  if (split >= active) return;

  if (warp < group) oneHead<T, HD>((const T*)a.q + (i64)seq * a.qStride + (kv * group + warp) * HD, own[warp], a.qNorm, a.qEps, a.qTable, a.qInterleaved, past, lane);
  if (to == len) {
    i64 slot = (i64)a.slots[seq] * width;
    if (warp == WARPS - 1) oneHead<T, HD>((const T*)a.kNew + (i64)seq * a.qStride + kv * HD, keys + slot, a.kNorm, a.kEps, a.kTable, a.kInterleaved, past, lane);
    if (warp == WARPS - 2)
      for (int d = lane; d < HD / 2; d += 32) ((u32*)(values + slot))[d] = ((const u32*)((const T*)a.vNew + (i64)seq * a.qStride + kv * HD))[d];
  }
  __syncthreads();
  uint4 q[C];
#pragma unroll
  for (int c = 0; c < C; c++) q[c] = g < group ? *(const uint4*)(own[g] + c * 32 + t * 8) : make_uint4(0, 0, 0, 0);
  i64 early[2] = {at[0], at[1]};
  at[0] = now[0], at[1] = now[1];
  read(keys, k, true);
  if (HD <= 64) read(values, v, true);
  at[0] = max(early[0], now[0]), at[1] = max(early[1], now[1]);

  float m = -INFINITY, l = 0, acc[C][4][2] = {};
  float scale = a.scale * LOG2E;
  while (token0 < to) {
    if (HD > 64) read(values, v, false);
    float p[2][2], most = m;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      float d[4] = {0, 0, 0, 0};
#pragma unroll
      for (int c = 0; c < C; c++) {
        mma<T>(d, q[c].x, 0, q[c].y, 0, k[i][c].x, k[i][c].y);
        mma<T>(d, q[c].z, 0, q[c].w, 0, k[i][c].z, k[i][c].w);
      }
#pragma unroll
      for (int e = 0; e < 2; e++) {
        p[i][e] = token0 + i * 8 + 2 * t + e < to ? d[e] * scale : -INFINITY;
        most = fmaxf(most, p[i][e]);
      }
    }
    most = quadMax(most);
    float old = exp2f(m - most);
    m = most;
    l *= old;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int e = 0; e < 2; e++) l += p[i][e] = exp2f(p[i][e] - m);
    u32 a0 = pack2<T>(p[0][0], p[0][1]), a2 = pack2<T>(p[1][0], p[1][1]);
#pragma unroll
    for (int c = 0; c < C; c++) {
      const u32 *v0 = &v[0][c].x, *v1 = &v[1][c].x;
#pragma unroll
      for (int j = 0; j < 4; j++) {
        float d[4] = {acc[c][j][0] * old, acc[c][j][1] * old, 0, 0};
        mma<T>(d, a0, 0, a2, 0, transpose8(v0[j]), transpose8(v1[j]));
        acc[c][j][0] = d[0], acc[c][j][1] = d[1];
      }
    }
    token0 += WARPS * TB;
    if (token0 < to) {
      locate();
      read(keys, k, false);
      if (HD <= 64) read(values, v, false);
    }
  }
  l = quadSum(l);
  if (t == 0) tops[warp * 8 + g] = m, sums[warp * 8 + g] = l;
  __syncthreads();
  if (warp < 8) { // a warp for each query
    float mine = lane < WARPS ? tops[lane * 8 + warp] : -INFINITY, top = mine;
    for (int o = 16; o > 0; o >>= 1) top = fmaxf(top, __shfl_xor_sync(~0u, top, o));
    float factor = exp2f(mine - top), sum = warpSum(lane < WARPS ? factor * sums[lane * 8 + warp] : 0.f);
    if (lane < WARPS) weights[lane * 8 + warp] = factor;
    __syncwarp();
    if (lane == 0) tops[warp] = top, sums[warp] = sum;
  }
  i64 item = (i64)blockIdx.x * a.kvHeads + kv;
  float* mine = a.partial + (item * a.splits + split) * 16 * WIDE;
  T* out = (T*)a.out + (i64)seq * a.heads * HD + kv * group * HD;
  for (int half = 0; half < HD / 64; half++) {
    if (g < group)
#pragma unroll
      for (int c = 0; c < C; c++)
        if (c / 2 == half)
#pragma unroll
          for (int j = 0; j < 4; j++) *(float2*)(part + (warp * 8 + g) * 64 + c % 2 * 32 + t * 8 + 2 * j) = make_float2(acc[c][j][0], acc[c][j][1]);
    __syncthreads();
    for (int i = threadIdx.x; i < group * 32; i += THREADS) {
      int r = i / 32, pair = i % 32;
      float v0 = 0, v1 = 0;
#pragma unroll
      for (int w = 0; w < WARPS; w++) {
        float2 d = *(const float2*)(part + (w * 8 + r) * 64 + 2 * pair);
        float factor = weights[w * 8 + r];
        v0 += factor * d.x;
        v1 += factor * d.y;
      }
      if (active == 1) *(u32*)(out + r * HD + half * 64 + 2 * pair) = pack2<T>(v0 / sums[r], v1 / sums[r]);
      else *(float2*)(mine + r * WIDE + half * 64 + 2 * pair) = make_float2(v0, v1);
    }
    __syncthreads();
  }
  if (active == 1) return;
  if (threadIdx.x < group) *(float2*)(mine + threadIdx.x * WIDE + HD) = make_float2(tops[threadIdx.x], sums[threadIdx.x]);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(&a.counters[item], 1) == active - 1;
    if (last) a.counters[item] = 0;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  const float* parts = a.partial + item * a.splits * 16 * WIDE;
  for (int i = threadIdx.x; i < group * HD; i += THREADS) {
    int r = i / HD, d = i % HD;
    float top = -INFINITY, sum = 0, x = 0;
#pragma unroll 4
    for (int n = 0; n < active; n++) {
      const float* p = parts + (n * 16 + r) * WIDE;
      float mn = __ldcg(p + HD), next = fmaxf(top, mn), keep = exp2f(top - next), f = exp2f(mn - next);
      x = x * keep + f * __ldcg(p + d);
      sum = sum * keep + f * __ldcg(p + HD + 1);
      top = next;
    }
    out[r * HD + d] = fromf<T>(x / sum);
  }
}

// prefill: a tile of 128 queries (consecutive tokens times the heads of a KV head)
// against all their keys, 64 tokens at a time through shared memory.
template <class T, int HD> __device__ __forceinline__ void prefillBody(const AttentionArgs& a) {
  constexpr int TOKENS = 64, ROW = HD * 2, PIECES = HD / 8, TILE = TOKENS * ROW;
  extern __shared__ uint4 dynamic[];
  waitPrior();
  letNext();
  int seq = a.work[blockIdx.x * 2], tile = a.work[blockIdx.x * 2 + 1], kv = blockIdx.y;
  int tid = threadIdx.x, warp = tid / 32, lane = tid % 32, g = lane / 4, t = lane % 4;
  if (seq < 0) return;
  int row0 = a.seqs[seq * 4], rows = a.seqs[seq * 4 + 1], past = a.seqs[seq * 4 + 2];
  int group = a.heads / a.kvHeads, queries = rows * group, q0 = tile * 128;
  int end = past + min(rows - 1, (q0 + 127) / group) + 1;
  int begin = a.window > 0 ? max(0, past + q0 / group - a.window + 1) / TOKENS * TOKENS : 0;
  const int* table = a.tables + (i64)seq * a.header[0];
  i64 width = (i64)a.kvHeads * HD;
  const T* keys = (const T*)a.k + kv * HD;
  const T* values = (const T*)a.v + kv * HD;
  u32 base = smemAddress(dynamic);

  auto fill = [&](int token0, int buffer) {
    u32 to = base + buffer * 2 * TILE;
#pragma unroll
    for (int i = tid; i < TOKENS * PIECES; i += 256) {
      int r = i / PIECES, c = i % PIECES, token = token0 + r;
      bool on = token < end;
      i64 p = on ? tokenSlot(a, table, token) * width + c * 8 : 0;
      u32 at = to + r * ROW + ((c ^ (r & 7)) << 4);
      copy16(at, keys + p, on);
      copy16(at + TILE, values + p, on);
    }
  };

  u32 q[HD / 16][4];
  int limit[2];
#pragma unroll
  for (int h = 0; h < 2; h++) {
    int r = q0 + warp * 16 + g + 8 * h;
    limit[h] = r < queries ? past + r / group : -1;
    const T* p = (const T*)a.q + (i64)(row0 + r / group) * a.qStride + (kv * group + r % group) * HD + 2 * t;
#pragma unroll
    for (int i = 0; i < HD / 16; i++) {
      q[i][h] = r < queries ? *(const u32*)(p + i * 16) : 0;
      q[i][h + 2] = r < queries ? *(const u32*)(p + i * 16 + 8) : 0;
    }
  }
  float m[2] = {-INFINITY, -INFINITY}, l[2] = {0, 0}, acc[HD / 8][4] = {};
  float scale = a.scale * LOG2E;
  fill(begin, 0);
  copyCommit();
  int buffer = 0;
  for (int token0 = begin; token0 < end; token0 += TOKENS, buffer ^= 1) {
    __syncthreads();
    if (token0 + TOKENS < end) fill(token0 + TOKENS, buffer ^ 1);
    copyCommit();
    copyWait<1>();
    __syncthreads();
    u32 kt = base + buffer * 2 * TILE, vt = kt + TILE;
    float s[TOKENS / 8][4] = {};
#pragma unroll
    for (int i = 0; i < HD / 16; i++)
#pragma unroll
      for (int j = 0; j < TOKENS / 16; j++) {
        u32 b[4];
        int r = j * 16 + lane / 16 * 8 + lane % 8, c = i * 2 + lane / 8 % 2;
        ldmatrix4(b, kt + r * ROW + ((c ^ (r & 7)) << 4));
        mma<T>(s[2 * j], q[i][0], q[i][1], q[i][2], q[i][3], b[0], b[1]);
        mma<T>(s[2 * j + 1], q[i][0], q[i][1], q[i][2], q[i][3], b[2], b[3]);
      }
    float most[2] = {m[0], m[1]};
    bool edge = token0 + TOKENS > past + q0 / group || a.window > 0;
#pragma unroll
    for (int j = 0; j < TOKENS / 8; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int h = e / 2;
        s[j][e] *= scale;
        if (edge) {
          int token = token0 + j * 8 + 2 * t + e % 2;
          if (token > limit[h] || (a.window > 0 && token <= limit[h] - a.window)) s[j][e] = -INFINITY;
        }
        most[h] = fmaxf(most[h], s[j][e]);
      }
    float old[2], off[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
      most[h] = quadMax(most[h]);
      off[h] = most[h] == -INFINITY ? 0.f : most[h];
      old[h] = exp2f(m[h] - off[h]);
      m[h] = most[h];
      l[h] *= old[h];
    }
#pragma unroll
    for (int i = 0; i < HD / 8; i++)
#pragma unroll
      for (int e = 0; e < 4; e++) acc[i][e] *= old[e / 2];
#pragma unroll
    for (int j = 0; j < TOKENS / 8; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        s[j][e] = exp2f(s[j][e] - off[e / 2]);
        l[e / 2] += s[j][e];
      }
#pragma unroll
    for (int j = 0; j < TOKENS / 16; j++) {
      u32 a0 = pack2<T>(s[2 * j][0], s[2 * j][1]), a1 = pack2<T>(s[2 * j][2], s[2 * j][3]);
      u32 a2 = pack2<T>(s[2 * j + 1][0], s[2 * j + 1][1]), a3 = pack2<T>(s[2 * j + 1][2], s[2 * j + 1][3]);
#pragma unroll
      for (int i = 0; i < HD / 16; i++) {
        u32 b[4];
        int r = j * 16 + lane % 16, c = i * 2 + lane / 16;
        ldmatrix4t(b, vt + r * ROW + ((c ^ (r & 7)) << 4));
        mma<T>(acc[2 * i], a0, a1, a2, a3, b[0], b[1]);
        mma<T>(acc[2 * i + 1], a0, a1, a2, a3, b[2], b[3]);
      }
    }
  }
  copyWait<0>();
#pragma unroll
  for (int h = 0; h < 2; h++) {
    float sum = quadSum(l[h]);
    int r = q0 + warp * 16 + g + 8 * h;
    if (r >= queries) continue;
    T* p = (T*)a.out + (i64)(row0 + r / group) * a.heads * HD + (kv * group + r % group) * HD + 2 * t;
#pragma unroll
    for (int i = 0; i < HD / 8; i++) *(u32*)(p + i * 8) = pack2<T>(acc[i][2 * h] / sum, acc[i][2 * h + 1] / sum);
  }
}

#define ATTENTION(T, HD) \
  extern "C" __global__ void __launch_bounds__(128) decode_##T##_##HD(const __grid_constant__ AttentionArgs a) { decodeBody<T, HD, false, HD <= 64 ? 32 : 16>(a); } \
  extern "C" __global__ void __launch_bounds__(128) decode_all_##T##_##HD(const __grid_constant__ AttentionArgs a) { decodeBody<T, HD, true, HD <= 64 ? 32 : 16>(a); } \
  extern "C" __global__ void __launch_bounds__(128, HD <= 64 ? 4 : 3) decode_many_##T##_##HD(const __grid_constant__ AttentionArgs a) { decodeBody<T, HD, true, 16>(a); } \
  extern "C" __global__ void __launch_bounds__(512, 1) decode_one_##T##_##HD(const __grid_constant__ AttentionArgs a) { decodeOneBody<T, HD>(a); } \
  extern "C" __global__ void __launch_bounds__(256) prefill_##T##_##HD(const __grid_constant__ AttentionArgs a) { prefillBody<T, HD>(a); }

ATTENTION(bf16, 64)
ATTENTION(bf16, 128)
ATTENTION(f16, 64)
ATTENTION(f16, 128)

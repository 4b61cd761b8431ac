// A whole decode step of few sequences in one kernel, with a block on every
// multiprocessor. The weights stream through a ring in shared memory without regard to
// what is computed, so that memory never waits: a thread copies the pieces that it
// multiplies itself. Products and attention follow each other without barriers between
// blocks: a value is posted with a tag, and whoever needs it looks until the tag is
// there (the low-latency protocol of collective libraries; "Look Ma, No Bubbles",
// Hazy Research 2025, has the idea of one kernel for the whole model).
//
// All blocks must be on the GPU at the same time.
#include "common.cuh"

enum { PRODUCT = 0, ATTENTION = 1 };
enum { SINGLES = 0, PAIRS = 1, GATED = 2, PLAIN = 3 }; // what a product leaves: slots of floats, of two half floats, of two gated ones; floats in memory

// StreamFetch is what the copying of weights must know of an operation. The tile of a
// product has height rows of its matrix and is summed by warps side by side, each with
// per steps of 64 columns; sets of them share a block. The tiles go round the blocks,
// first to block start.
struct StreamFetch {
  const void* w; // [n, k]
  int n, k;
  int tiles, start;
  short height, warps, per, sets;
};
STRUCT(StreamFetch)

struct StreamOp {
  int kind;
  int out;  // form of the result
  int norm; // x is float and normalised first
  int xPlain, residualPlain; // in memory, not in slots
  int xStride, outStride, residualStride; // in slots, or floats
  float eps;
  u32 xTag, residualTag, tag; // number of the operation that made x, and of this one
  const void* x;
  const float* weight; // of the norm
  const float* bias;
  const void* residual;
  void* to;
  // attention: x has queries, keys and values of a row side by side
  void* keys; // cache of the layer: [tokens, kvHeads · head dim]
  void* values;
  const float* qNorm;
  const float* kNorm;
  const float2* qTable;
  const float2* kTable;
  u64* partial; // [blocks][8][head dim + 2]
  int q, k, v; // columns of x
  int qInterleaved, kInterleaved;
  float qEps, kEps;
  float scale;
  int heads, kvHeads, window, splits; // splits: most blocks for a row and KV head
};
STRUCT(StreamOp)

struct StreamArgs {
  const StreamOp* ops;
  const StreamFetch* fetches;
  u32* state; // tag of the step's first operation; blocks that are done
  const int* header; // [0]: pages per sequence in tables
  const int* tables;
  const int* positions; // -1: a row without a sequence
  const int* slots;
  int count, rows, rowShift; // rows <= 1 << rowShift
  int width;                 // columns of an operand in shared memory
  int pageTokens, pageShift; // shift -1: no power of two
};
STRUCT(StreamArgs)

#if __CUDA_ARCH__ == 900 || __CUDA_ARCH__ == 1000

constexpr int WARPS = 16, THREADS = WARPS * 32, PART = 8192; // floats

// await reads a slot until it has the tag.
__device__ __forceinline__ u32 await(const u64* slot, u32 tag) {
  u64 v;
  while ((u32)((v = peek(slot)) >> 32) != tag) backOff();
  return (u32)v;
}
__device__ __forceinline__ void await2(const u64* slot, u32 tag, u32& a, u32& b) {
  u64 v, w;
  for (;;) {
    peek2(slot, v, w);
    if ((u32)(v >> 32) == tag && (u32)(w >> 32) == tag) break;
    backOff();
  }
  a = (u32)v, b = (u32)w;
}

// Ring is the copying of weights ahead of their use, DEPTH steps of a warp.
template <int DEPTH> struct Ring {
  u32 at;     // this thread's place in shared memory
  int filled; // which of DEPTH is filled next
  const StreamFetch* f; // in shared memory
  int op, count, tile, left, k; // what is fetched next
  const u8* from;
  bool in;
  int warp, g, t;

  // seek finds the warp's next tile.
  __device__ __forceinline__ void seek() {
    while (op < count) {
      const StreamFetch& o = f[op];
      int set = warp / o.warps, rank = warp - set * o.warps, steps = (o.k + 63) / 64;
      if (tile < 0) {
        int b = blockIdx.x - o.start;
        if (b < 0) b += gridDim.x;
        tile = b * o.sets + set;
      } else {
        tile += gridDim.x * o.sets;
      }
      left = min((int)o.per, steps - rank * o.per);
      if (set < o.sets && tile < o.tiles && left > 0) {
        int row = tile * o.height + g;
        in = g < o.height && row < o.n;
        k = rank * o.per * 64 + t * 8;
        from = (const u8*)o.w + ((i64)(in ? row : 0) * o.k + k) * 2;
        return;
      }
      op++;
      tile = -1;
    }
    left = 0;
  }

  // fetch starts the copy of one step, if there is one.
  __device__ __forceinline__ void fetch() {
    if (left > 0) {
      u32 to = at + filled * (THREADS * 32);
      int columns = f[op].k;
      bool first = in && k < columns, second = in && k + 32 < columns;
      copy16(to, first ? from : (const u8*)f[op].w, first);
      copy16(to + THREADS * 16, second ? from + 64 : (const u8*)f[op].w, second);
      from += 128;
      k += 64;
      if (--left == 0) seek();
    }
    copyCommit();
    if (++filled == DEPTH) filled = 0;
  }
};

struct Shares { // of a block, beside ring, operand and fetches
  float part[PART];
  float tops[WARPS * 8], sums[WARPS * 8], weights[WARPS * 8];
  float scratch[WARPS];
};

// operand brings x to shared memory as half floats, rows of stride elements.
template <class T> __device__ __forceinline__ void operand(const StreamArgs& a, const StreamOp& o, u32 base, int columns, T* x, int stride, Shares& s) {
  int per = THREADS >> a.rowShift, row = threadIdx.x / per, i0 = threadIdx.x % per;
  bool on = row < a.rows;
  u32 tag = base + o.xTag;
  T* to = x + row * stride;
  int pad = (columns + 63) / 64 * 64 - columns; // a multiple of 8
  if (i0 < pad / 8 && on) *(uint4*)(to + columns + i0 * 8) = make_uint4(0, 0, 0, 0);
  if (!o.norm) {
    if (on) {
      const u64* from = (const u64*)o.x + (i64)row * o.xStride;
      for (int i = i0; i < columns / 4; i += 4 * per) {
        u64 v[4][2];
        bool ready;
        do {
          ready = true;
#pragma unroll
          for (int j = 0; j < 4; j++)
            if (i + j * per < columns / 4) peek2(from + 2 * (i + j * per), v[j][0], v[j][1]);
#pragma unroll
          for (int j = 0; j < 4; j++)
            if (i + j * per < columns / 4) ready = ready && (u32)(v[j][0] >> 32) == tag && (u32)(v[j][1] >> 32) == tag;
          if (!ready) backOff();
        } while (!ready);
#pragma unroll
        for (int j = 0; j < 4; j++)
          if (i + j * per < columns / 4) *(uint2*)(to + 4 * (i + j * per)) = make_uint2((u32)v[j][0], (u32)v[j][1]);
      }
    }
    __syncthreads();
    return;
  }
  // Up to MOST pairs of columns a thread.
  constexpr int MOST = 8;
  float2 v[MOST], w[MOST];
  int pairs = columns / 2;
#pragma unroll
  for (int j = 0; j < MOST; j++) {
    v[j] = w[j] = make_float2(0, 0);
    if (i0 + j * per < pairs) w[j] = ((const float2*)o.weight)[i0 + j * per];
  }
  float sum = 0;
  if (on) {
    if (o.xPlain) {
      const float2* from = (const float2*)((const float*)o.x + (i64)row * o.xStride);
#pragma unroll
      for (int j = 0; j < MOST; j++)
        if (i0 + j * per < pairs) v[j] = from[i0 + j * per];
    } else {
      const u64* from = (const u64*)o.x + (i64)row * o.xStride;
      bool ready;
      do {
        ready = true;
#pragma unroll
        for (int j = 0; j < MOST; j++)
          if (i0 + j * per < pairs) {
            u64 p, q;
            peek2(from + 2 * (i0 + j * per), p, q);
            ready = ready && (u32)(p >> 32) == tag && (u32)(q >> 32) == tag;
            v[j] = make_float2(__uint_as_float((u32)p), __uint_as_float((u32)q));
          }
        if (!ready) backOff();
      } while (!ready);
    }
#pragma unroll
    for (int j = 0; j < MOST; j++) sum += v[j].x * v[j].x + v[j].y * v[j].y;
  }
  sum = warpSum(sum);
  if (threadIdx.x % 32 == 0) s.scratch[threadIdx.x / 32] = sum;
  __syncthreads();
  int group = WARPS >> a.rowShift; // warps of a row
  sum = 0;
  for (int i = 0; i < group; i++) sum += s.scratch[row * group + i];
  float scale = rsqrtf(sum / columns + o.eps);
  if (on) {
#pragma unroll
    for (int j = 0; j < MOST; j++)
      if (i0 + j * per < pairs) ((u32*)to)[i0 + j * per] = pack2<T>(v[j].x * scale * w[j].x, v[j].y * scale * w[j].y);
  }
  __syncthreads();
}

// finish adds the warps' sums of some rounds of tiles and leaves the results.
template <class T> __device__ __forceinline__ void finish(const StreamArgs& a, const StreamOp& o, const StreamFetch& f, u32 base, int tile0, int rounds, Shares& s) {
  int values = 8 << a.rowShift, total = rounds * f.sets * values;
  u32 tag = base + o.tag;
  for (int i0 = 0; i0 < total; i0 += THREADS) {
    int i = i0 + threadIdx.x, at = i % values, row = at / 8, column = at % 8, unit = i / values;
    int round = unit / f.sets, set = unit - round * f.sets;
    int tile = tile0 + set + round * gridDim.x * f.sets, n = tile * f.height + column;
    bool on = i < total && row < a.rows && column < f.height && tile < f.tiles && n < f.n;
    float v = 0;
    if (on) {
      if (o.bias) v = o.bias[n];
      if (o.residual) {
        i64 r = (i64)row * o.residualStride + n;
        v += o.residualPlain ? ((const float*)o.residual)[r] : __uint_as_float(await((const u64*)o.residual + r, base + o.residualTag));
      }
      const float* p = s.part + (round * WARPS + set * f.warps) * values + at;
      float sum = 0;
      for (int w = 0; w < f.warps; w++) sum += p[w * values];
      v += sum;
    }
    if (o.out == PLAIN) {
      if (on) ((float*)o.to)[(i64)row * o.outStride + n] = v;
      continue;
    }
    u64* to = (u64*)o.to + (i64)row * o.outStride;
    if (o.out == SINGLES) {
      if (on) post(to + n, tag, __float_as_uint(v));
      continue;
    }
    float next = __shfl_down_sync(~0u, v, 1);
    if (o.out == PAIRS) {
      if (on && column % 2 == 0) post(to + n / 2, tag, pack2<T>(v, next));
      continue;
    }
    float gated = silu(v) * next, other = __shfl_down_sync(~0u, gated, 2);
    if (on && column % 4 == 0) post(to + n / 4, tag, pack2<T>(gated, other));
  }
}

// placeOf is the place of this block in the round of an operation.
__device__ __forceinline__ int placeOf(const StreamFetch& f) {
  int b = blockIdx.x - f.start;
  return b < 0 ? b + gridDim.x : b;
}

template <class T, int DEPTH> __device__ __forceinline__ void productOp(const StreamArgs& a, const StreamOp& o, const StreamFetch& f, u32 base, Ring<DEPTH>& ring, const u8* mine, T* x, int stride, Shares& s) {
  int tile0 = placeOf(f) * f.sets, step = gridDim.x * f.sets;
  if (tile0 >= f.tiles) return;
  operand<T>(a, o, base, f.k, x, stride, s);
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, values = 8 << a.rowShift;
  int set = warp / f.warps, rank = warp - set * f.warps, count = min((int)f.per, (f.k + 63) / 64 - rank * f.per);
  bool has = g < a.rows;
  const T* from = x + g * stride + rank * f.per * 64 + t * 8;
  int batch = PART / (WARPS * values);
  for (; tile0 < f.tiles; tile0 += batch * step) {
    int rounds = min(batch, (f.tiles - tile0 + step - 1) / step);
    for (int r = 0; r < rounds; r++) {
      if (set >= f.sets) break;
      float acc[4] = {0, 0, 0, 0};
      if (tile0 + set + r * step < f.tiles)
        for (int i = 0; i < count; i++) {
          uint4 x0 = make_uint4(0, 0, 0, 0), x1 = x0;
          if (has) x0 = *(const uint4*)(from + i * 64), x1 = *(const uint4*)(from + i * 64 + 32);
          copyWait<DEPTH - 1>();
          const u8* p = mine + ring.filled * (THREADS * 32);
          uint4 w0 = *(const uint4*)p, w1 = *(const uint4*)(p + THREADS * 16);
          mma<T>(acc, x0.x, 0, x0.y, 0, w0.x, w0.y);
          mma<T>(acc, x0.z, 0, x0.w, 0, w0.z, w0.w);
          mma<T>(acc, x1.x, 0, x1.y, 0, w1.x, w1.y);
          mma<T>(acc, x1.z, 0, x1.w, 0, w1.z, w1.w);
          ring.fetch();
        }
      if (g < 1 << a.rowShift) *(float2*)(s.part + (r * WARPS + warp) * values + g * 8 + 2 * t) = make_float2(acc[0], acc[1]);
    }
    __syncthreads();
    finish<T>(a, o, f, base, tile0, rounds, s);
    if (tile0 + batch * step < f.tiles) __syncthreads();
  }
}

// half1 is element e of a head, of which slots hold pairs.
template <class T> __device__ __forceinline__ float half1(const u64* head, int e, u32 tag) {
  T h;
  u32 pair = await(head + e / 2, tag);
  h.bits = (u16)(e % 2 ? pair >> 16 : pair);
  return tof(h);
}

// turned norms and rotates a head with one warp.
template <class T, int HD> __device__ __forceinline__ void turned(const u64* head, u32 tag, T* out, const float* norm, float eps, const float2* table, int interleaved, int position, int lane) {
  constexpr int PAIRS = HD / 64;
  float u[PAIRS], v[PAIRS], sum = 0;
  float2 cs[PAIRS];
#pragma unroll
  for (int i = 0; i < PAIRS; i++) cs[i] = table ? table[(i64)position * (HD / 2) + lane + 32 * i] : make_float2(1.f, 0.f);
#pragma unroll
  for (int i = 0; i < PAIRS; i++) {
    int k = lane + 32 * i;
    u[i] = half1<T>(head, interleaved ? 2 * k : k, tag);
    v[i] = half1<T>(head, interleaved ? 2 * k + 1 : k + HD / 2, tag);
    sum += u[i] * u[i] + v[i] * v[i];
  }
  float scale = norm ? 1.f / sqrtf(warpSum(sum) / HD + eps) : 1.f;
#pragma unroll
  for (int i = 0; i < PAIRS; i++) {
    int k = lane + 32 * i, first = interleaved ? 2 * k : k, second = interleaved ? 2 * k + 1 : k + HD / 2;
    if (norm) u[i] *= scale * norm[first], v[i] *= scale * norm[second];
    out[first] = fromf<T>(u[i] * cs[i].x - v[i] * cs[i].y);
    out[second] = fromf<T>(u[i] * cs[i].y + v[i] * cs[i].x);
  }
}

__device__ __forceinline__ float best4(float v) {
  v = fmaxf(v, __shfl_xor_sync(~0u, v, 1));
  return fmaxf(v, __shfl_xor_sync(~0u, v, 2));
}
__device__ __forceinline__ float sum4(float v) {
  v += __shfl_xor_sync(~0u, v, 1);
  return v + __shfl_xor_sync(~0u, v, 2);
}

// attendOp: a block for each row, KV head and part of the context; up to eight query
// heads to a KV head, as in decodeBody of attention.cu. The parts of a context are
// added by all blocks that have one, each a share of the columns.
template <class T, int HD> __device__ __forceinline__ void attendOp(const StreamArgs& a, const StreamOp& o, const StreamFetch& f, u32 base, T* own, Shares& s) {
  constexpr int C = HD / 32, TB = 16, WIDE = HD + 2;
  int place = placeOf(f), splits = max(1, min(o.splits, (int)gridDim.x / (a.rows * o.kvHeads)));
  if (place >= a.rows * o.kvHeads * splits) return;
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  int row = place / (o.kvHeads * splits), kv = place / splits % o.kvHeads, split = place % splits;
  int group = o.heads / o.kvHeads, past = a.positions[row];
  u32 tag = base + o.tag, xTag = base + o.xTag;
  u64* out = (u64*)o.to + (i64)row * o.outStride + kv * group * (HD / 2);
  if (past < 0) { // whoever waits for the row goes on
    if (split == 0)
      for (int i = threadIdx.x; i < group * (HD / 2); i += THREADS) post(out + i, tag, 0);
    return;
  }
  int len = past + 1, begin = o.window > 0 ? max(0, len - o.window) : 0;
  int chunk = (len - begin + splits - 1) / splits;
  chunk = (chunk + WARPS * TB - 1) / (WARPS * TB) * (WARPS * TB);
  int active = (len - begin + chunk - 1) / chunk;
  if (split >= active) return;
  int from = begin + split * chunk, to = min(len, from + chunk);
  const int* table = a.tables + (i64)row * a.header[0];
  i64 width = (i64)o.kvHeads * HD;
  T* keys = (T*)o.keys + kv * HD;
  T* values = (T*)o.values + kv * HD;
  auto place1 = [&](int token) {
    if (a.pageShift >= 0) return ((i64)table[token >> a.pageShift] << a.pageShift) + (token & (a.pageTokens - 1));
    return (i64)table[token / a.pageTokens] * a.pageTokens + token % a.pageTokens;
  };

  // Keys and values of earlier tokens are there already.
  uint4 k[2][C], v[2][C];
  i64 at[2];
  auto locate = [&](int token0) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      int token = token0 + i * 8 + g;
      at[i] = token < to ? place1(token) * width + t * 8 : -1;
    }
  };
  auto read = [&](const T* p, uint4 (&to)[2][C], bool late) { // late: the step's own token
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int c = 0; c < C; c++) {
        if (!late) to[i][c] = make_uint4(0, 0, 0, 0);
        if (at[i] >= 0) to[i][c] = *(const uint4*)(p + at[i] + c * 32);
      }
  };
  int token0 = from + warp * TB;
  i64 now[2];
  locate(token0);
#pragma unroll
  for (int i = 0; i < 2; i++) {
    now[i] = -1;
    if (token0 + i * 8 + g == past) now[i] = at[i], at[i] = -1;
  }
  read(keys, k, false);
  if (HD <= 64) read(values, v, false);

  const u64* x = (const u64*)o.x + (i64)row * o.xStride;
  if (warp < group) turned<T, HD>(x + (o.q + (kv * group + warp) * HD) / 2, xTag, own + warp * HD, o.qNorm, o.qEps, o.qTable, o.qInterleaved, past, lane);
  if (to == len) {
    i64 slot = (i64)a.slots[row] * width;
    if (warp == WARPS - 1) turned<T, HD>(x + (o.k + kv * HD) / 2, xTag, keys + slot, o.kNorm, o.kEps, o.kTable, o.kInterleaved, past, lane);
    if (warp == WARPS - 2)
      for (int i = lane; i < HD / 2; i += 32) ((u32*)(values + slot))[i] = await(x + (o.v + kv * HD) / 2 + i, xTag);
  }
  __syncthreads();
  uint4 q[C];
#pragma unroll
  for (int c = 0; c < C; c++) q[c] = g < group ? *(const uint4*)(own + g * HD + c * 32 + t * 8) : make_uint4(0, 0, 0, 0);
  i64 early[2] = {at[0], at[1]};
  at[0] = now[0], at[1] = now[1];
  read(keys, k, true);
  if (HD <= 64) read(values, v, true);
  at[0] = max(early[0], now[0]), at[1] = max(early[1], now[1]);

  float m = -INFINITY, l = 0, acc[C][4][2] = {};
  float scale = o.scale * 1.44269504088896340736f;
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
    most = best4(most);
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
      locate(token0);
      read(keys, k, false);
      if (HD <= 64) read(values, v, false);
    }
  }
  l = sum4(l);
  if (t == 0) s.tops[warp * 8 + g] = m, s.sums[warp * 8 + g] = l;
  __syncthreads();
  if (threadIdx.x < 8) {
    int r = threadIdx.x;
    float top = -INFINITY, sum = 0;
    for (int w = 0; w < WARPS; w++) top = fmaxf(top, s.tops[w * 8 + r]);
    for (int w = 0; w < WARPS; w++) {
      float factor = exp2f(s.tops[w * 8 + r] - top);
      s.weights[w * 8 + r] = factor;
      sum += factor * s.sums[w * 8 + r];
    }
    s.tops[r] = top;
    s.sums[r] = sum;
  }
  __syncthreads();
  u64* parts = o.partial + (i64)(place - split) * 8 * WIDE;
  u64* mine = parts + split * 8 * WIDE;
  for (int half = 0; half < HD / 64; half++) {
    if (g < group)
#pragma unroll
      for (int c = 0; c < C; c++)
        if (c / 2 == half)
#pragma unroll
          for (int j = 0; j < 4; j++) *(float2*)(s.part + (warp * 8 + g) * 64 + c % 2 * 32 + t * 8 + 2 * j) = make_float2(acc[c][j][0], acc[c][j][1]);
    __syncthreads();
    for (int i = threadIdx.x; i < group * 32; i += THREADS) {
      int r = i / 32, pair = i % 32;
      float v0 = 0, v1 = 0;
      for (int w = 0; w < WARPS; w++) {
        float2 d = *(const float2*)(s.part + (w * 8 + r) * 64 + 2 * pair);
        float factor = s.weights[w * 8 + r];
        v0 += factor * d.x;
        v1 += factor * d.y;
      }
      if (active == 1) {
        post(out + r * (HD / 2) + half * 32 + pair, tag, pack2<T>(v0 / s.sums[r], v1 / s.sums[r]));
      } else {
        post(mine + r * WIDE + half * 64 + 2 * pair, tag, __float_as_uint(v0));
        post(mine + r * WIDE + half * 64 + 2 * pair + 1, tag, __float_as_uint(v1));
      }
    }
    __syncthreads();
  }
  if (active == 1) return;
  if (threadIdx.x < group) {
    post(mine + threadIdx.x * WIDE + HD, tag, __float_as_uint(s.tops[threadIdx.x]));
    post(mine + threadIdx.x * WIDE + HD + 1, tag, __float_as_uint(s.sums[threadIdx.x]));
  }
  int all = group * (HD / 2), last = all * (split + 1) / active;
  for (int i = all * split / active + threadIdx.x; i < last; i += THREADS) {
    int r = i / (HD / 2), pair = i % (HD / 2);
    float top = -INFINITY, sum = 0, v0 = 0, v1 = 0;
#pragma unroll 4
    for (int n = 0; n < active; n++) {
      const u64* p = parts + (n * 8 + r) * WIDE;
      u32 mb, lb, b0, b1;
      await2(p + HD, tag, mb, lb);
      await2(p + 2 * pair, tag, b0, b1);
      float mn = __uint_as_float(mb), next = fmaxf(top, mn), keep = exp2f(top - next), factor = exp2f(mn - next);
      v0 = v0 * keep + factor * __uint_as_float(b0);
      v1 = v1 * keep + factor * __uint_as_float(b1);
      sum = sum * keep + factor * __uint_as_float(lb);
      top = next;
    }
    post(out + i, tag, pack2<T>(v0 / sum, v1 / sum));
  }
}

// touch brings a description to the first cache before it is needed.
__device__ __forceinline__ void touch(const StreamOp* o) {
  if (threadIdx.x % 32 * 128 >= sizeof(StreamOp)) return;
  asm volatile("prefetch.global.L1 [%0];" ::"l"((const u8*)o + threadIdx.x % 32 * 128));
}

template <class T, int HD, int DEPTH> __device__ __forceinline__ void streamBody(const StreamArgs& a) {
  extern __shared__ __align__(16) u8 dynamic[];
  Shares& s = *(Shares*)dynamic;
  StreamFetch* fetches = (StreamFetch*)(dynamic + sizeof(Shares));
  T* x = (T*)(fetches + a.count);
  int stride = a.width + 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  u8* mine = (u8*)(x + a.rows * stride) + threadIdx.x * 16;
  for (int i = threadIdx.x; i < a.count * 2; i += THREADS) ((uint4*)fetches)[i] = ((const uint4*)a.fetches)[i];
  __syncthreads();
  Ring<DEPTH> ring;
  ring.at = smemAddress(mine), ring.filled = 0, ring.f = fetches, ring.op = 0, ring.count = a.count, ring.tile = -1;
  ring.warp = warp, ring.g = lane / 4, ring.t = lane % 4;
  ring.seek();
  for (int i = 0; i < DEPTH; i++) ring.fetch();
  touch(a.ops);
  waitPrior();
  u32 base = *(volatile u32*)a.state;
  for (int i = 0; i < a.count; i++) {
    if (i + 1 < a.count) touch(a.ops + i + 1);
    else letNext();
    const StreamOp& o = a.ops[i];
    if (o.kind == PRODUCT) productOp<T, DEPTH>(a, o, fetches[i], base, ring, mine, x, stride, s);
    else attendOp<T, HD>(a, o, fetches[i], base, x, s);
  }
  copyWait<0>();
  __syncthreads();
  if (threadIdx.x > 0) return;
  if (atomicAdd(a.state + 1, 1) == gridDim.x - 1) {
    a.state[0] = base + a.count;
    a.state[1] = 0;
  }
}
#else
template <class T, int HD, int DEPTH> __device__ __forceinline__ void streamBody(const StreamArgs& a) {}
#endif

#define STREAM(T, HD, DEPTH) \
  extern "C" __global__ void __launch_bounds__(512, 1) stream_##T##_##HD##_##DEPTH(const __grid_constant__ StreamArgs a) { streamBody<T, HD, DEPTH>(a); }

STREAM(bf16, 64, 9)
STREAM(bf16, 128, 9)
STREAM(f16, 64, 9)
STREAM(f16, 128, 9)
STREAM(bf16, 64, 6)
STREAM(bf16, 128, 6)
STREAM(f16, 64, 6)
STREAM(f16, 128, 6)
extern "C" __device__ const u32 sizeof_StreamShared = 8192 * 4 + 3 * 128 * 4 + 16 * 4;

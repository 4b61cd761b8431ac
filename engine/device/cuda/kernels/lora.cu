// What adapters add to a product (LoRA, Hu et al., arXiv:2106.09685): (x · Aᵀ) · Bᵀ for
// the rows of every adapter of a step in one kernel. Rows of one adapter are gathered
// into tiles (Chen et al., "Punica", arXiv:2310.18547; Sheng et al., "S-LoRA",
// arXiv:2311.03285); both halves run on the tensor cores. A cluster has a tile: its
// blocks share the terms of x · Aᵀ, add their sums from shared memory to shared memory,
// and share the columns of · Bᵀ. The product of x with the weights runs at the same time
// and takes the result at its end (LinearArgs.late), so that the two halves of both
// kernels hide each other; A and B are on their way before x is there.
//
// Lane 4 g + t of a warp has these pieces of 16 bytes of A: for each 8 of its rows and 32
// columns, columns 8 t.. of row g. Of B it has, for each 32 of its rows and 8 columns,
// columns 2 t and 2 t + 1 of rows g, g + 8, g + 16 and g + 24, where the 8 columns of a row
// are a piece. The host stores the pieces so, one after the other, as half floats.
#include "lora.cuh"

STRUCT(LoraTerm)

extern __shared__ uint4 dynamic[];

struct LoraArgs {
  const void* x;      // [rows, xStride], half floats, or with norm float32
  const float* norm;  // [k] or null: x is normalised first
  void* delta;        // [rows - base, deltaStride], half floats
  const LoraTerm* terms; // [slots][slotTerms], from this product's first pair on
  const int4* tiles;  // first place in order, rows, slot
  const int* order;   // rows
  LoraPair pair[8];
  int pairs, slotTerms;
  int k, xStride;
  int deltaStride, base; // base: the first row of delta
  int items;             // runs of 32 columns
  float eps;
  int xType, pad; // lora_plain
  u32* flag;      // null, or set to 1 when x is there; the product starts early then
};
STRUCT(LoraArgs)

__device__ __forceinline__ void mmaShort(float (&c)[4], u32 a0, u32 a1, u32 b0) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(b0));
}

__device__ __forceinline__ void clusterArrive() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive;" ::: "memory");
#endif
}
__device__ __forceinline__ void clusterWait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait;" ::: "memory");
#endif
}

// ofPeer reads two numbers of the shared memory of a block of the cluster.
__device__ __forceinline__ float2 ofPeer(const float* p, int rank) {
#if __CUDA_ARCH__ >= 900
  u32 there;
  float2 v;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(smemAddress(p)), "r"(rank));
  asm volatile("ld.shared::cluster.v2.f32 {%0, %1}, [%2];" : "=f"(v.x), "=f"(v.y) : "r"(there) : "memory");
  return v;
#else
  return *(const float2*)p;
#endif
}

// keep16 loads 16 bytes that other warps of the block read too.
__device__ __forceinline__ uint4 keep16(const void* p) {
  uint4 v;
  asm volatile("ld.global.nc.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
}

// four loads a lane's part of 32 rows and 8 columns of B, word 4 g + t its first.
__device__ __forceinline__ uint4 four(const u32* p) { return make_uint4(__ldg(p), __ldg(p + 32), __ldg(p + 64), __ldg(p + 96)); }

__device__ __forceinline__ void ahead(const void* p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(p)); }

// Grid: blocks of a cluster, tiles, clusters that share the columns of a tile. MT is 16ths
// of the most rows of a tile.
template <int MT> __device__ __forceinline__ void loraBody(const LoraArgs& a) {
  constexpr int ALONG = 8 / MT, ROWS = 16 * MT, OCTETS = 6;
  constexpr bool NEXT = MT > 1; // x is fetched before its use as A is
  __shared__ float scale[ROWS];
  float* part = (float*)dynamic;         // [warps][OCTETS][16][8]
  float* own = part + 8 * OCTETS * 128;  // [total][ROWS][8]
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  int high = warp % MT, along = warp / MT; // 16 rows of the tile, and a share of the work
  int ranks = gridDim.x, rank = blockIdx.x;
  int4 tile = a.tiles[blockIdx.y];
  int count = tile.y;
  bool tell = a.flag && blockIdx.x + blockIdx.y + blockIdx.z + threadIdx.x == 0;
  if (a.flag) letNext();
  auto begin = [&] {
    waitPrior();
    if (tell) asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(a.flag), "r"(1) : "memory");
    if (!a.flag) letNext();
  };
  if (count == 0) return begin();
  const LoraTerm* terms = a.terms + (i64)tile.z * a.slotTerms;
  int total = terms[0].total, chunks = (a.k + 31) / 32, c0 = rank * ALONG + along, stride = ranks * ALONG;
  u32* mid = (u32*)(own + total * ROWS * 8); // half floats, [total][ROWS][8]
  const uint4* wa = (const uint4*)terms[0].a + lane;
  int item0 = (blockIdx.z * ranks + rank) * ALONG + along, items = gridDim.z * ranks * ALONG;

  // find gives the pair and the 32 columns of an item.
  auto find = [&](int item, int& j, int& group) {
    j = 0, group = item;
    while (j + a.pair[j].step < a.pairs && group >= (a.pair[j].n + 31) / 32) group -= (a.pair[j].n + 31) / 32, j += a.pair[j].step;
  };
  for (int i = 0, item = item0; i < 4 && item < a.items; i++, item += items) {
    int j, group;
    find(item, j, group);
    for (int h = 0; h < a.pair[j].step; h++) {
      LoraTerm w = terms[j + h];
      for (int o = lane / 8; o < w.octets; o += 4) ahead((const uint4*)w.b + ((i64)group * w.octets + o) * 32 + lane % 8 * 4);
    }
  }
  uint4 raw[OCTETS];
  auto fetch = [&](int first, int c) {
#pragma unroll
    for (int o = 0; o < OCTETS; o++) {
      raw[o] = make_uint4(0, 0, 0, 0);
      const uint4* w = wa + ((i64)(first + o) * chunks + c) * 32;
      if (first + o < total && c < chunks) raw[o] = MT == 1 ? read16(w) : keep16(w);
    }
  };
  fetch(0, c0);
  // Of B as well what the first columns need, up to a rank of 16.
  constexpr int EARLY = 2;
  uint4 early[2][EARLY];
  int j = 0, group = 0;
  auto fetchB = [&](int item) {
    if (item >= a.items) return;
    find(item, j, group);
#pragma unroll
    for (int h = 0; h < 2; h++) {
      if (h >= a.pair[j].step) break;
      const LoraTerm& w = terms[j + h];
      const u32* b = (const u32*)w.b + (i64)group * w.octets * 128 + lane;
#pragma unroll
      for (int o = 0; o < EARLY; o++)
        if (o < w.octets) early[h][o] = four(b + o * 128);
    }
  };
  fetchB(item0);
  int r0 = high * 16 + g, r1 = r0 + 8;
  int row0 = r0 < count ? a.order[tile.x + r0] : -1, row1 = r1 < count ? a.order[tile.x + r1] : -1;
  begin();

  if (a.norm) {
    for (int m = warp; m < count; m += 8) {
      const float4* row = (const float4*)((const float*)a.x + (i64)a.order[tile.x + m] * a.xStride);
      float sum = 0;
      for (int i = lane; i < a.k / 4; i += 32) {
        float4 v = row[i];
        sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
      }
      sum = warpSum(sum);
      if (lane == 0) scale[m] = rsqrtf(sum / a.k + a.eps);
    }
    __syncthreads();
  }
  auto piece = [&](int row, int m, int at) {
    if (row < 0 || at >= a.k) return make_uint4(0, 0, 0, 0);
    if (!a.norm) return *(const uint4*)((const f16*)a.x + (i64)row * a.xStride + at);
    const float4* x = (const float4*)((const float*)a.x + (i64)row * a.xStride + at);
    const float4* n = (const float4*)(a.norm + at);
    float4 u = x[0], v = x[1], p = n[0], q = n[1];
    float s = scale[m];
    return make_uint4(pack2<f16>(u.x * s * p.x, u.y * s * p.y), pack2<f16>(u.z * s * p.z, u.w * s * p.w), pack2<f16>(v.x * s * q.x, v.y * s * q.y),
                      pack2<f16>(v.z * s * q.z, v.w * s * q.w));
  };

  // x · Aᵀ: this block's terms.
  for (int first = 0; first < total; first += OCTETS) {
    float acc[OCTETS][4] = {};
    if (first > 0) fetch(first, c0);
    uint4 lo = piece(row0, r0, c0 * 32 + t * 8), hi = piece(row1, r1, c0 * 32 + t * 8);
    for (int c = c0; c < chunks; c += stride) {
      if (!NEXT && c > c0) lo = piece(row0, r0, c * 32 + t * 8), hi = piece(row1, r1, c * 32 + t * 8);
      uint4 x0 = lo, x1 = hi;
      uint4 now[OCTETS];
#pragma unroll
      for (int o = 0; o < OCTETS; o++) now[o] = raw[o];
      fetch(first, c + stride);
      int next = (c + stride) * 32 + t * 8;
      if (NEXT) lo = piece(row0, r0, next), hi = piece(row1, r1, next);
#pragma unroll
      for (int o = 0; o < OCTETS; o++) {
        if (first + o >= total) break;
        mma<f16>(acc[o], x0.x, x1.x, x0.y, x1.y, now[o].x, now[o].y);
        mma<f16>(acc[o], x0.z, x1.z, x0.w, x1.w, now[o].z, now[o].w);
      }
    }
    int n = min(OCTETS, total - first);
#pragma unroll
    for (int o = 0; o < OCTETS; o++) {
      if (o >= n) break;
      float* p = part + (warp * OCTETS + o) * 128 + g * 8 + 2 * t;
      *(float2*)p = make_float2(acc[o][0], acc[o][1]);
      *(float2*)(p + 64) = make_float2(acc[o][2], acc[o][3]);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < n * ROWS * 8; i += 256) {
      int o = i / (ROWS * 8), e = i % (ROWS * 8);
      if (e / 8 >= count) continue;
      float s = 0;
#pragma unroll
      for (int w = 0; w < ALONG; w++) s += part[((w * MT + e / 128) * OCTETS + o) * 128 + e % 128];
      own[(first + o) * ROWS * 8 + e] = s;
    }
    __syncthreads();
  }
  if (ranks > 1) clusterArrive(), clusterWait();
  for (int i = threadIdx.x; i < total * ROWS * 4; i += 256) {
    float2 v = make_float2(0.f, 0.f);
    if (i / 4 % ROWS < count) {
      if (ranks == 1) v = *(const float2*)(own + 2 * i);
      else {
        float2 u[8];
#pragma unroll
        for (int r = 0; r < 8; r++)
          if (r < ranks) u[r] = ofPeer(own + 2 * i, r);
#pragma unroll
        for (int r = 0; r < 8; r++)
          if (r < ranks) v.x += u[r].x, v.y += u[r].y;
      }
    }
    mid[i] = pack2<f16>(v.x, v.y);
  }
  if (ranks > 1) clusterArrive(); // others may still read this block's sums
  __syncthreads();

  // · Bᵀ: this block's columns.
  u16* delta = (u16*)a.delta;
  for (int item = item0; item < a.items; item += items) {
    float acc[2][4][4] = {};
    bool turns = a.pair[j].step == 2;
#pragma unroll
    for (int h = 0; h < 2; h++) {
      if (h == 1 && !turns) break;
      const LoraTerm& w = terms[j + h];
      int octets = w.octets;
      const u32* m = mid + (w.first * ROWS + r0) * 4 + t;
      auto add = [&](uint4 v, int o) {
        u32 a0 = m[o * ROWS * 4], a1 = m[o * ROWS * 4 + 32];
        mmaShort(acc[h][0], a0, a1, v.x);
        mmaShort(acc[h][1], a0, a1, v.y);
        mmaShort(acc[h][2], a0, a1, v.z);
        mmaShort(acc[h][3], a0, a1, v.w);
      };
#pragma unroll
      for (int o = 0; o < EARLY; o++)
        if (o < octets) add(early[h][o], o);
      const u32* b = (const u32*)w.b + (i64)group * octets * 128 + lane;
#pragma unroll 4
      for (int o = EARLY; o < octets; o++) add(four(b + o * 128), o);
      float f = octets ? w.factor : 0.f;
#pragma unroll
      for (int i = 0; i < 16; i++) acc[h][i / 4][i % 4] *= f;
    }
    LoraPair pair = a.pair[j];
    int columns = group * 32;
    fetchB(item + items); // on its way while these are stored
#pragma unroll
    for (int q = 0; q < 4; q++) {
      int c = columns + q * 8 + 2 * t;
      if (c >= pair.n) break;
      bool two = c + 1 < pair.n;
#pragma unroll
      for (int e = 0; e < 2; e++) {
        int row = e ? row1 : row0;
        if (row < 0) continue;
        u16* to = delta + (i64)(row - a.base) * a.deltaStride + pair.offset;
        if (turns) {
          u32 one = pack2<f16>(acc[0][q][2 * e], acc[1][q][2 * e]), other = pack2<f16>(acc[0][q][2 * e + 1], acc[1][q][2 * e + 1]);
          if (two) *(uint2*)(to + 2 * c) = make_uint2(one, other);
          else *(u32*)(to + 2 * c) = one;
          continue;
        }
        if (two && pair.offset % 2 == 0) {
          *(u32*)(to + c) = pack2<f16>(acc[0][q][2 * e], acc[0][q][2 * e + 1]);
          continue;
        }
        to[c] = fromf<f16>(acc[0][q][2 * e]).bits;
        if (two) to[c + 1] = fromf<f16>(acc[0][q][2 * e + 1]).bits;
      }
    }
  }
  if (ranks > 1) clusterWait();
}

extern "C" __global__ void __launch_bounds__(256, 2) lora_16(const __grid_constant__ LoraArgs a) { loraBody<1>(a); }
extern "C" __global__ void __launch_bounds__(256, 2) lora_64(const __grid_constant__ LoraArgs a) { loraBody<4>(a); }

// lora_plain: every format and width, float32 arithmetic; A is [total, k] and B [n, rank]
// there, row by row, octets and first are counted in single rows, and delta is float32.
// The grid is (rows of a tile, tiles).
extern "C" __global__ void __launch_bounds__(256) lora_plain(const __grid_constant__ LoraArgs a) {
  float* mid = (float*)dynamic; // [total]
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int4 tile = a.tiles[blockIdx.y];
  waitPrior();
  letNext();
  if ((int)blockIdx.x >= tile.y) return;
  i64 row = a.order[tile.x + blockIdx.x];
  const LoraTerm* terms = a.terms + (i64)tile.z * a.slotTerms;
  int total = terms[0].total;
  for (int r = warp; r < total; r += 8) {
    const float* w = (const float*)terms[0].a + (i64)r * a.k;
    float sum = 0;
    for (int k = lane; k < a.k; k += 32) sum += w[k] * load(a.x, a.xType, row * a.xStride + k);
    sum = warpSum(sum);
    if (lane == 0) mid[r] = sum;
  }
  __syncthreads();
  float* to = (float*)a.delta + (row - a.base) * a.deltaStride;
  for (int j = 0; j < a.pairs; j++) {
    LoraTerm w = terms[j];
    for (int c = threadIdx.x; c < a.pair[j].n; c += 256) {
      const float* b = (const float*)w.b + (i64)c * w.octets;
      float sum = 0;
      for (int r = 0; r < w.octets; r++) sum += b[r] * mid[w.first + r];
      to[a.pair[j].offset + c * a.pair[j].step] = w.octets ? sum * w.factor : 0.f;
    }
  }
}

// Products for the steps of a batch (sm_90a only; elsewhere the kernels are empty and
// never started): some 10 to 256 rows of x against a matrix of which every byte is
// needed once. The weights are the left operand of the warpgroup instructions, 64 of
// their rows to a block, so that no row of x is padded to 64. The blocks of a cluster
// share the terms of their sums, which then go from shared memory to shared memory: the
// way over global memory took longer than the product. Weights are on their way before
// the kernel waits for the one that makes x.
#include "linear.cuh"
#include "lora.cuh"

// TogetherArgs are a product and what adapters add to it.
struct TogetherArgs {
  LinearArgs l;
  const LoraTerm* terms; // [slots][slotTerms], from this product's first pair on
  const int* active;     // how many slots the rows have, then these
  u32* mid;              // [rows][octets * 4]: each row's x · Aᵀ, two half floats a word, at first ABSENT
  LoraPair pair[8];
  int pairs, slotTerms;
  int octets;   // most of a slot, of all pairs
  int lowTiles; // tiles of 64 rows of A
  int slots, pad; // most that the rows have
};
STRUCT(TogetherArgs)

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// tileAt is the descriptor of a tile of 128-byte rows: address, 1024 bytes between
// groups of eight rows, 128-byte swizzling.
__device__ __forceinline__ u64 tileAt(u32 at) { return (u64)((at & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62; }

// Lean is the product of 64 rows of weights and BN rows of x, 16 terms.
template <class T, int BN> struct Lean;

#define SUM4(b) "+f"(c[b][0]), "+f"(c[b][1]), "+f"(c[b][2]), "+f"(c[b][3])
#define SUM16 SUM4(0), SUM4(1), SUM4(2), SUM4(3)
#define SUM32 SUM16, SUM4(4), SUM4(5), SUM4(6), SUM4(7)
#define SUM64 SUM32, SUM4(8), SUM4(9), SUM4(10), SUM4(11), SUM4(12), SUM4(13), SUM4(14), SUM4(15)
#define NAMES16 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define NAMES32 NAMES16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define NAMES64 NAMES32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"

#define LEAN(T, NAME, BN, NAMES, SUMS, A, B)                                                             \
  template <> struct Lean<T, BN> {                                                                       \
    static __device__ __forceinline__ void run(float (&c)[BN / 8][4], u64 a, u64 b) {                    \
      asm volatile("wgmma.mma_async.sync.aligned.m64n" #BN "k16.f32." NAME "." NAME " {" NAMES "}, " A ", " B ", 1, 1, 1, 0, 0;" \
                   : SUMS                                                                                \
                   : "l"(a), "l"(b));                                                                    \
    }                                                                                                    \
  };
LEAN(f16, "f16", 32, NAMES16, SUM16, "%16", "%17")
LEAN(f16, "f16", 64, NAMES32, SUM32, "%32", "%33")
LEAN(f16, "f16", 128, NAMES64, SUM64, "%64", "%65")
LEAN(bf16, "bf16", 32, NAMES16, SUM16, "%16", "%17")
LEAN(bf16, "bf16", 64, NAMES32, SUM32, "%32", "%33")
LEAN(bf16, "bf16", 128, NAMES64, SUM64, "%64", "%65")

__device__ __forceinline__ void clusterSync() { asm volatile("barrier.cluster.arrive;\n\tbarrier.cluster.wait;" ::: "memory"); }

// peer reads two numbers of the shared memory of another block of the cluster.
__device__ __forceinline__ float2 peer(u32 at, int rank) {
  u32 there;
  float2 v;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(at), "r"(rank));
  asm volatile("ld.shared::cluster.v2.f32 {%0, %1}, [%2];" : "=f"(v.x), "=f"(v.y) : "r"(there) : "memory");
  return v;
}

// beside is what is added to columns n and n+1 (n even) of row m.
__device__ __forceinline__ float2 beside(const LinearArgs& a, int m, int n) {
  float2 v = make_float2(0.f, 0.f);
  if (m >= a.rows || n >= a.w.n) return v;
  bool two = n + 1 < a.w.n;
  if (a.bias) {
    v.x = a.bias[n];
    if (two) v.y = a.bias[n + 1];
  }
  if (a.residual) {
    const float* r = a.residual + (i64)m * a.residualStride + n;
    v.x += r[0];
    if (two) v.y += r[1];
  }
  return v;
}

// leave stores columns n and n+1 (n even) of row m, to which everything is added.
__device__ __forceinline__ void leave(const LinearArgs& a, int m, int n, float v0, float v1) {
  if (m >= a.rows || n >= a.w.n) return;
  if (a.glu) {
    store(a.out, a.outType, (i64)m * a.outStride + n / 2, silu(v0) * v1);
    return;
  }
  i64 o = (i64)m * a.outStride + n;
  if (n + 1 < a.w.n && a.outStride % 2 == 0) {
    if (a.outType == F32) *(float2*)((float*)a.out + o) = make_float2(v0, v1);
    else *(u32*)((u16*)a.out + o) = a.outType == BF16 ? pack2<bf16>(v0, v1) : pack2<f16>(v0, v1);
    return;
  }
  store(a.out, a.outType, o, v0);
  if (n + 1 < a.w.n) store(a.out, a.outType, o + 1, v1);
}

// Grid: blocks along the terms (one cluster), tiles of 64 columns, tiles of BN rows.
template <class T, int BN, int STAGES> __device__ __forceinline__ void batchBody(const LinearArgs& a) {
  constexpr int BK = 64, FILL = STAGES - 1, WEIGHTS = 64 * 128, STAGE = WEIGHTS + BN * 128, WIDE = 68;
  extern __shared__ uint4 dynamic[];
  u32 base = (smemAddress(dynamic) + 1023) & ~1023u;
  int tid = threadIdx.x, warp = tid / 32, lane = tid % 32;
  int ranks = gridDim.x, rank = blockIdx.x, n0 = blockIdx.y * 64, m0 = blockIdx.z * BN;
  int steps = (a.w.k + BK - 1) / BK, per = (steps + ranks - 1) / ranks, active = (steps + per - 1) / per;
  int s0 = min(steps, rank * per), s1 = min(steps, s0 + per);

  // A thread copies the same piece of every 16th row.
  int row = tid / 8, piece = tid % 8;
  u32 place = base + row * 128 + ((piece ^ (row & 7)) << 4);
  const T* x = (const T*)a.x + (i64)(m0 + row) * a.xStride + piece * 8;
  const T* w = (const T*)a.w.q + (i64)(n0 + row) * a.w.k + piece * 8;
  i64 xStep = (i64)16 * a.xStride, wStep = (i64)16 * a.w.k;
  auto fillWeights = [&](int step) {
    u32 to = place + (step % STAGES) * STAGE;
    int k = step * BK;
    bool in = k + piece * 8 < a.w.k;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      bool on = in && n0 + row + i * 16 < a.w.n;
      copy16(to + i * 16 * 128, on ? w + i * wStep + k : (const T*)a.w.q, on);
    }
  };
  auto fillRows = [&](int step) {
    u32 to = place + (step % STAGES) * STAGE + WEIGHTS;
    int k = step * BK;
    bool in = k + piece * 8 < a.w.k;
#pragma unroll
    for (int i = 0; i < BN / 16; i++) {
      bool on = in && m0 + row + i * 16 < a.rows;
      copy16(to + i * 16 * 128, on ? x + i * xStep + k : (const T*)a.x, on);
    }
  };

  // Weights that the kernel before has made are no sooner there than its other results.
  if (a.shared) waitPrior();
#pragma unroll
  for (int i = 0; i < FILL; i++)
    if (s0 + i < s1) fillWeights(s0 + i);
  begin(a);
#pragma unroll
  for (int i = 0; i < FILL; i++) {
    if (s0 + i < s1) fillRows(s0 + i);
    copyCommit();
  }
  // Each block finishes its share of the rows. What is added to it is fetched now.
  constexpr int EARLY = 4;
  int share = BN / ranks;
  bool early = share * 32 <= EARLY * 128;
  float2 more[EARLY];
#pragma unroll
  for (int j = 0; j < EARLY; j++) {
    int i = tid + j * 128;
    more[j] = early && i < share * 32 ? beside(a, m0 + rank * share + i / 32, n0 + 2 * (i % 32)) : make_float2(0.f, 0.f);
  }
  float acc[BN / 8][4];
#pragma unroll
  for (int i = 0; i < BN / 2; i++) acc[i / 4][i % 4] = 0;
  for (int step = s0; step < s1; step++) {
    copyWait<FILL - 1>();
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    u32 from = base + (step % STAGES) * STAGE;
    u64 da = tileAt(from), db = tileAt(from + WEIGHTS);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int kk = 0; kk < BK / 16; kk++) Lean<T, BN>::run(acc, da + kk * 2, db + kk * 2);
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    if (step + FILL < s1) fillWeights(step + FILL), fillRows(step + FILL);
    copyCommit();
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
    for (int i = 0; i < BN / 8; i++) asm volatile("" : "+f"(acc[i][0]), "+f"(acc[i][1]), "+f"(acc[i][2]), "+f"(acc[i][3])::"memory");
  }
  copyWait<0>();
  __syncthreads();
  float2 low[EARLY];
  if (a.delta && a.flag) waitPrior();
#pragma unroll
  for (int j = 0; j < EARLY; j++) {
    int i = tid + j * 128;
    low[j] = a.delta && early && i < share * 32 ? lowRank(a, m0 + rank * share + i / 32, n0 + 2 * (i % 32)) : make_float2(0.f, 0.f);
  }

  // The tile of sums, [BN][WIDE]: a row of x after the other. Lanes hit different banks.
  float* tile = (float*)((u8*)dynamic + (base - smemAddress(dynamic)));
  int g = lane / 4, t = lane % 4;
#pragma unroll
  for (int j = 0; j < BN / 8; j++)
#pragma unroll
    for (int e = 0; e < 4; e++) tile[(8 * j + 2 * t + e % 2) * WIDE + warp * 16 + g + 8 * (e / 2)] = acc[j][e];
  if (ranks > 1) clusterSync();
  else __syncthreads();

  auto sum = [&](int m, int n) {
    if (ranks == 1) return *(const float2*)(tile + m * WIDE + n);
    u32 at = base + (m * WIDE + n) * 4;
    float2 p[8], v = make_float2(0.f, 0.f);
#pragma unroll
    for (int r = 0; r < 8; r++)
      if (r < active) p[r] = peer(at, r);
#pragma unroll
    for (int r = 0; r < 8; r++)
      if (r < active) v.x += p[r].x, v.y += p[r].y;
    return v;
  };
  if (early) {
#pragma unroll
    for (int j = 0; j < EARLY; j++) {
      int i = tid + j * 128, m = rank * share + i / 32, n = 2 * (i % 32);
      if (i >= share * 32) break;
      float2 v = sum(m, n);
      leave(a, m0 + m, n0 + n, v.x + more[j].x + low[j].x, v.y + more[j].y + low[j].y);
    }
  } else {
    for (int i = tid; i < share * 32; i += 128) {
      int m = rank * share + i / 32, n = 2 * (i % 32);
      float2 v = sum(m, n), b = beside(a, m0 + m, n0 + n);
      if (a.delta) {
        float2 d = lowRank(a, m0 + m, n0 + n);
        b.x += d.x, b.y += d.y;
      }
      leave(a, m0 + m, n0 + n, v.x + b.x, v.y + b.y);
    }
  }
  if (ranks > 1) clusterSync(); // others may still read this block's sums
}
// The same product with what adapters add. The first tiles of the grid are not of weights
// but of the matrices A of all adapters of the step, one below the other; their blocks keep
// of each row the terms of its own adapter. The other blocks make the product meanwhile,
// fetch the rows of B that their numbers need, and add them when the terms are there: a
// word that is not ABSENT is. So both halves of what an adapter adds lie inside one kernel
// and beside the weights. A tile of the first kind waits for nothing of this kernel and
// comes first in the grid: a block that waits cannot keep its place from one it waits for.
constexpr u32 ABSENT = ~0u; // no pair of half floats that a conversion makes

// dot adds the products of eight half floats.
__device__ __forceinline__ float dot(float sum, const uint4& a, const uint4& b) {
  const u32 *p = &a.x, *q = &b.x;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    sum += tof(f16{(u16)p[i]}) * tof(f16{(u16)q[i]});
    sum += tof(f16{(u16)(p[i] >> 16)}) * tof(f16{(u16)(q[i] >> 16)});
  }
  return sum;
}

__device__ __forceinline__ uint4 look(const u32* p) {
  uint4 v;
  asm volatile("ld.relaxed.gpu.global.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p) : "memory");
  return v;
}
__device__ __forceinline__ bool there(const uint4& v) { return v.x != ABSENT && v.y != ABSENT && v.z != ABSENT && v.w != ABSENT; }

template <int BN, int STAGES, bool TURNS> __device__ __forceinline__ void togetherBody(const TogetherArgs& b) {
  constexpr int BK = 64, FILL = STAGES - 1, WEIGHTS = 64 * 128, STAGE = WEIGHTS + BN * 128, WIDE = 68, GROUPS = BN / 8, SOME = 4;
  const LinearArgs& a = b.l;
  extern __shared__ uint4 dynamic[];
  u32 base = (smemAddress(dynamic) + 1023) & ~1023u;
  int tid = threadIdx.x, warp = tid / 32, lane = tid % 32;
  int ranks = gridDim.x, rank = blockIdx.x, m0 = blockIdx.z * BN, share = BN / ranks;
  bool low = (int)blockIdx.y < b.lowTiles;
  int n0 = ((int)blockIdx.y - b.lowTiles) * 64, item0 = blockIdx.y * 8;
  int items = low ? min(b.active[0], b.slots) * b.octets : 0;
  if (low && item0 >= items) return;
  int steps = (a.w.k + BK - 1) / BK, per = (steps + ranks - 1) / ranks;
  int s0 = min(steps, rank * per), s1 = min(steps, s0 + per);

  // A thread copies the same piece of every 16th row.
  int row = tid / 8, piece = tid % 8;
  u32 place = base + row * 128 + ((piece ^ (row & 7)) << 4);
  const uint4* from[4];
  bool has[4];
  int advance = low ? 64 : 8;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    has[i] = false;
    if (low) {
      int item = item0 + row / 8 + 2 * i, o = item % b.octets;
      if (item < items) {
        const LoraTerm& term = b.terms[(i64)b.active[1 + item / b.octets] * b.slotTerms];
        has[i] = o < term.total;
        from[i] = (const uint4*)term.a + ((i64)o * ((a.w.k + 31) / 32) + piece / 4) * 32 + 4 * (row & 7) + piece % 4;
      }
    } else {
      has[i] = n0 + row + i * 16 < a.w.n;
      from[i] = (const uint4*)((const f16*)a.w.q + (i64)(n0 + row + i * 16) * a.w.k) + piece;
    }
  }
  auto fillWeights = [&](int step) {
    u32 to = place + (step % STAGES) * STAGE;
    bool in = step * BK + piece * 8 < a.w.k;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      bool on = in && has[i];
      copy16(to + i * 16 * 128, on ? from[i] + (i64)step * advance : (const uint4*)a.w.q, on);
    }
  };
  const f16* x = (const f16*)a.x + (i64)(m0 + row) * a.xStride + piece * 8;
  i64 xStep = (i64)16 * a.xStride;
  auto fillRows = [&](int step) {
    u32 to = place + (step % STAGES) * STAGE + WEIGHTS;
    int k = step * BK;
    bool in = k + piece * 8 < a.w.k;
#pragma unroll
    for (int i = 0; i < BN / 16; i++) {
      bool on = in && m0 + row + i * 16 < a.rows;
      copy16(to + i * 16 * 128, on ? x + i * xStep + k : (const f16*)a.x, on);
    }
  };
#pragma unroll
  for (int i = 0; i < FILL; i++)
    if (s0 + i < s1) fillWeights(s0 + i);

  // A thread finishes two columns, or two terms, of every fourth row.
  int n = n0 + 2 * lane;
  auto rowOf = [&](int j) { return m0 + rank * share + warp + 4 * j; };
  int mEnd = min(a.rows, m0 + (rank + 1) * share);
  // Of low blocks: the slot of the two terms, their factor and their place.
  int lowSlot = -1, lowWord = 0;
  float factor = 0.f;
  // Of the others: the pair and the row of B, of which the second column has the next one
  // or, in TURNS, the same of the next pair.
  int pair = 0, rowB = n / 2;
  if (low) {
    int item = item0 + lane / 4, o = item % b.octets;
    if (item < items) {
      lowSlot = b.active[1 + item / b.octets], lowWord = o * 4 + lane % 4;
      const LoraTerm* term = b.terms + (i64)lowSlot * b.slotTerms;
      for (int p = 0; p < b.pairs; p++)
        if (o >= term[p].first && o < term[p].first + term[p].octets) factor = term[p].factor;
    }
  } else if (!TURNS) {
    while (pair + 1 < b.pairs && n >= b.pair[pair].offset + b.pair[pair].n) pair++;
    rowB = n - b.pair[pair].offset;
  }
  // Side is the part of an adapter that a column of a row needs: 8 terms of its row of B,
  // the next ones 32 further, and a place in mid.
  struct Side {
    const uint4* b;
    int mid, octets;
  };
  auto side = [&](int m, int slot, int pair) {
    const LoraTerm& term = b.terms[(i64)slot * b.slotTerms + pair];
    Side s;
    s.octets = n < a.w.n ? term.octets : 0;
    s.b = (const uint4*)term.b + (i64)(rowB / 32) * 32 * s.octets + rowB % 32;
    s.mid = (m * b.octets + term.first) * 4;
    return s;
  };
  constexpr int SIDES = TURNS ? 2 : 1;
  Side sides[SOME][SIDES];
  uint4 held[SOME][2]; // of B
  float2 add[SOME];
  auto fetch = [&](int j, int o) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const Side& s = sides[j][h % SIDES];
      held[j][h] = make_uint4(0, 0, 0, 0);
      if (o < s.octets) held[j][h] = __ldg(s.b + o * 32 + (TURNS ? 0 : h));
    }
  };
  auto gather = [&](int j0) {
#pragma unroll
    for (int j = 0; j < SOME; j++) {
      int m = rowOf(j0 + j), slot = !low && m < mEnd ? a.slots[m] : 0;
#pragma unroll
      for (int h = 0; h < SIDES; h++) {
        sides[j][h].octets = 0;
        if (slot) sides[j][h] = side(m, slot, pair + h);
      }
    }
#pragma unroll
    for (int j = 0; j < SOME; j++) fetch(j, 0);
  };
  gather(0);
  if (lane % (TURNS ? 8 : 4) == 0) {
#pragma unroll
    for (int j = 0; j < SOME; j++)
#pragma unroll
      for (int h = 0; h < SIDES; h++)
        for (int o = 1; o < sides[j][h].octets; o++) asm volatile("prefetch.global.L2 [%0];" ::"l"(sides[j][h].b + o * 32));
  }
  begin(a);
#pragma unroll
  for (int i = 0; i < FILL; i++) {
    if (s0 + i < s1) fillRows(s0 + i);
    copyCommit();
  }
  auto residual = [&](int j0) {
#pragma unroll
    for (int j = 0; j < SOME; j++) {
      int m = rowOf(j0 + j);
      add[j] = !low && m < mEnd ? beside(a, m, n) : make_float2(0.f, 0.f);
    }
  };
  residual(0);
  float acc[GROUPS][4];
#pragma unroll
  for (int i = 0; i < BN / 2; i++) acc[i / 4][i % 4] = 0;
  for (int step = s0; step < s1; step++) {
    copyWait<FILL - 1>();
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    u32 at = base + (step % STAGES) * STAGE;
    u64 da = tileAt(at), db = tileAt(at + WEIGHTS);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int kk = 0; kk < BK / 16; kk++) Lean<f16, BN>::run(acc, da + kk * 2, db + kk * 2);
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    if (step + FILL < s1) fillWeights(step + FILL), fillRows(step + FILL);
    copyCommit();
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
    for (int i = 0; i < GROUPS; i++) asm volatile("" : "+f"(acc[i][0]), "+f"(acc[i][1]), "+f"(acc[i][2]), "+f"(acc[i][3])::"memory");
  }
  copyWait<0>();
  __syncthreads();

  float* tile = (float*)((u8*)dynamic + (base - smemAddress(dynamic)));
  int g = lane / 4, t = lane % 4;
#pragma unroll
  for (int j = 0; j < GROUPS; j++)
#pragma unroll
    for (int e = 0; e < 4; e++) tile[(8 * j + 2 * t + e % 2) * WIDE + warp * 16 + g + 8 * (e / 2)] = acc[j][e];
  if (ranks > 1) clusterSync();
  else __syncthreads();
  auto sum = [&](int m) {
    int at = (m - m0) * WIDE + 2 * lane;
    if (ranks == 1) return *(const float2*)(tile + at);
    float2 p[8], v = make_float2(0.f, 0.f);
#pragma unroll
    for (int r = 0; r < 8; r++)
      if (r < ranks) p[r] = peer(base + at * 4, r);
#pragma unroll
    for (int r = 0; r < 8; r++)
      if (r < ranks) v.x += p[r].x, v.y += p[r].y;
    return v;
  };
  if (low) {
    for (int m = rowOf(0); m < mEnd; m += 4) {
      if (a.slots[m] != lowSlot) continue;
      float2 v = sum(m);
      u32 both = pack2<f16>(v.x * factor, v.y * factor);
      asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(b.mid + (i64)m * b.octets * 4 + lowWord), "r"(both) : "memory");
    }
  } else {
    for (int j0 = 0; rowOf(j0) < mEnd; j0 += SOME) {
      if (j0 > 0) gather(j0), residual(j0);
      uint4 seen[SOME][SIDES];
      auto see = [&](int j, int o) {
#pragma unroll
        for (int h = 0; h < SIDES; h++) {
          seen[j][h] = make_uint4(0, 0, 0, 0);
          if (o < sides[j][h].octets) seen[j][h] = look(b.mid + sides[j][h].mid + o * 4);
        }
      };
      auto use = [&](int j, int o) {
        while (!there(seen[j][0]) || !there(seen[j][SIDES - 1])) see(j, o);
        add[j].x = dot(add[j].x, seen[j][0], held[j][0]);
        add[j].y = dot(add[j].y, seen[j][SIDES - 1], held[j][1]);
      };
#pragma unroll
      for (int j = 0; j < SOME; j++) see(j, 0);
#pragma unroll
      for (int j = 0; j < SOME; j++) {
        int m = rowOf(j0 + j);
        if (m >= mEnd) break;
        float2 v = sum(m);
        add[j].x += v.x, add[j].y += v.y;
      }
#pragma unroll
      for (int j = 0; j < SOME; j++) use(j, 0);
      int most = 0;
#pragma unroll
      for (int j = 0; j < SOME; j++) most = max(most, max(sides[j][0].octets, sides[j][SIDES - 1].octets));
      for (int o = 1; o < most; o++) {
#pragma unroll
        for (int j = 0; j < SOME; j++) see(j, o), fetch(j, o);
#pragma unroll
        for (int j = 0; j < SOME; j++) use(j, o);
      }
#pragma unroll
      for (int j = 0; j < SOME; j++) {
        int m = rowOf(j0 + j);
        if (m < mEnd) leave(a, m, n, add[j].x, add[j].y);
      }
    }
  }
  if (ranks > 1) clusterSync(); // others may still read this block's sums
}
#else
template <class T, int BN, int STAGES> __device__ __forceinline__ void batchBody(const LinearArgs& a) {}
template <int BN, int STAGES, bool TURNS> __device__ __forceinline__ void togetherBody(const TogetherArgs& b) {}
#endif

#define BATCH(NAME, T) \
  extern "C" __global__ void __launch_bounds__(128, 4) NAME##_32(const __grid_constant__ LinearArgs a) { batchBody<T, 32, 4>(a); } \
  extern "C" __global__ void __launch_bounds__(128, 3) NAME##_64(const __grid_constant__ LinearArgs a) { batchBody<T, 64, 4>(a); } \
  extern "C" __global__ void __launch_bounds__(128, 2) NAME##_128(const __grid_constant__ LinearArgs a) { batchBody<T, 128, 4>(a); }

BATCH(batch_bf16, bf16)
BATCH(batch_f16, f16)

#define TOGETHER(BN, BLOCKS) \
  extern "C" __global__ void __launch_bounds__(128, BLOCKS) together_##BN(const __grid_constant__ TogetherArgs b) { togetherBody<BN, 4, false>(b); } \
  extern "C" __global__ void __launch_bounds__(128, BLOCKS) together_turns_##BN(const __grid_constant__ TogetherArgs b) { togetherBody<BN, 4, true>(b); }

TOGETHER(32, 3)
TOGETHER(64, 3)

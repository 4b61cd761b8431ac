// Sampling with the semantics of package engine/sample. Two kernels share the code: in
// sample_cluster a cluster of eight blocks holds a row of logits in its shared memories,
// so that the row is read once; in sample, for GPUs without clusters and for rows that
// do not fit, one block goes over the row in device memory.
// Masses are added in float64, so that a draw agrees with the CPU's wherever it does
// not fall within rounding of the border between two tokens.
#include "sample.cuh"

STRUCT(SampleRow)

struct SampleArgs {
  float* logits; // [rows, vocab]; sample changes them in place
  const SampleRow* rows;
  const int* lists;
  float* saved;
  const int* header; // [1]: where this step's results begin, [2]: those of the step before
  int* tokens;       // results of the last two steps, for the host
  float* logprobs;
  int* drawn;        // tokens again, for the next step
  float2* tops; // [rows, tiles] of sample_tiles: the largest logit of a tile, and its masses added
  u8* left;           // [rows] that sample_tiles left to the other kernels; null: all of them
  int vocab;
  int tile, tiles; // columns of a tile, tiles of a row
  int pad;
};
STRUCT(SampleArgs)

constexpr int BINS = 2048, RANKS = 8;
constexpr float DEEPEST = -40.f, BINNER = (BINS - 1) / DEEPEST;

// Shared is what a block keeps besides its part of the row. THREADS is the size of a
// block, EDGE the most tokens of a bin that are looked at one by one.
template <int THREADS_, int EDGE_> struct Shared {
  static constexpr int THREADS = THREADS_, EDGE = EDGE_;
  double sums[THREADS / 32];
  u64 keys[THREADS / 32];
  double crossSum[2]; // what the other blocks of a cluster read
  u64 crossKey[2];
  double powers[256];
  u64 edge[EDGE];
  double mass[EDGE];
  u32 hist[BINS];
  int n, bin;
  u32 turn; // which of crossSum and crossKey is next
  u64 key;
};

// One block over a row in device memory.
struct Alone : Shared<1024, 2048> {
  static constexpr bool CLUSTER = false;
};

// One of eight blocks, each with its part of the row in shared memory.
struct Together : Shared<512, 1024> {
  static constexpr bool CLUSTER = true;
};

// Part is the run of a row that a block works on.
struct Part {
  float* l;
  int first, n; // of the row: l[0] is the logit of token first
  int vocab;
};

#if __CUDA_ARCH__ >= 900
__device__ __forceinline__ u32 clusterRank() {
  u32 r;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
  return r;
}
__device__ __forceinline__ void clusterSync() { asm volatile("barrier.cluster.arrive;\n\tbarrier.cluster.wait;" ::: "memory"); }
// of is p in the shared memory of another block of the cluster.
template <class T> __device__ __forceinline__ T* of(T* p, int rank) {
  u64 r;
  asm volatile("mapa.u64 %0, %1, %2;" : "=l"(r) : "l"(p), "r"(rank));
  return (T*)r;
}
#else
__device__ __forceinline__ u32 clusterRank() { return 0; }
__device__ __forceinline__ void clusterSync() {}
template <class T> __device__ __forceinline__ T* of(T* p, int) { return p; }
#endif

// sync waits for all threads that share the row.
template <class S> __device__ __forceinline__ void sync() {
  if constexpr (S::CLUSTER) clusterSync();
  else __syncthreads();
}
// lead is the shared memory of the first block.
template <class S> __device__ __forceinline__ S& lead(S& s) { return S::CLUSTER ? *of(&s, 0) : s; }
template <class S> __device__ __forceinline__ bool leads() { return !S::CLUSTER || clusterRank() == 0; }

// sumAll adds v over all threads that share the row, in one order.
template <class S> __device__ double sumAll(double v, S& s) {
  for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
  __syncthreads();
  if (threadIdx.x % 32 == 0) s.sums[threadIdx.x / 32] = v;
  __syncthreads();
  double sum = 0;
  for (int i = 0; i < S::THREADS / 32; i++) sum += s.sums[i];
  if constexpr (S::CLUSTER) {
    u32 at = s.turn;
    __syncthreads();
    if (threadIdx.x == 0) s.crossSum[at] = sum, s.turn = at ^ 1;
    clusterSync();
    sum = 0;
    for (int i = 0; i < RANKS; i++) sum += *of(&s.crossSum[at], i);
  }
  return sum;
}

// maxBlock is the largest v of a block.
template <class S> __device__ u64 maxBlock(u64 v, S& s) {
  for (int o = 16; o > 0; o >>= 1) v = max(v, __shfl_xor_sync(~0u, v, o));
  __syncthreads();
  if (threadIdx.x % 32 == 0) s.keys[threadIdx.x / 32] = v;
  __syncthreads();
  for (int i = 0; i < S::THREADS / 32; i++) v = max(v, s.keys[i]);
  return v;
}

template <class S> __device__ u64 maxAll(u64 v, S& s) {
  v = maxBlock(v, s);
  if constexpr (S::CLUSTER) {
    u32 at = s.turn;
    __syncthreads();
    if (threadIdx.x == 0) s.crossKey[at] = v, s.turn = at ^ 1;
    clusterSync();
    for (int i = 0; i < RANKS; i++) v = max(v, *of(&s.crossKey[at], i));
  }
  return v;
}

// expNeg is the exponential of x in [-700, 0], within 1e-12, from a table of 2^(j/256)
// and a cubic: the CPU's, and a fifth of the float64 work of exp.
__device__ __forceinline__ double expNeg(double x, const double* powers) {
  double shifted = x * (256 / 0.693147180559945309417) + 6755399441055744.0;
  i64 n = (i64)(__double_as_longlong(shifted) << 13) >> 13;
  double r = x - (shifted - 6755399441055744.0) * (0.693147180559945309417 / 256);
  double t = __longlong_as_double(__double_as_longlong(powers[n & 255]) + ((n >> 8) << 52));
  return t + t * (r + r * r * (0.5 + r * (1.0 / 6)));
}

// each calls f(id, logit) for every entry of a part, spread over the block.
template <class S, class F> __device__ __forceinline__ void each(const Part& p, F f) {
  constexpr int T = S::THREADS;
  if (p.n % 4 || p.vocab % 4) {
    for (int i = threadIdx.x; i < p.n; i += T) f(p.first + i, p.l[i]);
    return;
  }
  // Four loads are on their way at a time.
  for (int base = threadIdx.x; base < p.n / 4; base += 4 * T) {
    float4 v[4];
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (base + j * T < p.n / 4) v[j] = ((const float4*)p.l)[base + j * T];
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int i = base + j * T, id = p.first + 4 * i;
      if (i >= p.n / 4) break;
      f(id, v[j].x);
      f(id + 1, v[j].y);
      f(id + 2, v[j].z);
      f(id + 3, v[j].w);
    }
  }
}

// rank orders logits: larger first, then the lower id; NaN and -Inf are 0.
__device__ __forceinline__ u64 rank(float l, int id) {
  if (!(l > -INFINITY)) return 0;
  u32 b = __float_as_uint(l);
  b = b & 0x80000000u ? ~b : b | 0x80000000u;
  return (u64)b << 32 | (u32)~id;
}
__device__ __forceinline__ float rankLogit(u64 r) {
  u32 b = r >> 32;
  return __uint_as_float(b & 0x80000000u ? b & 0x7fffffffu : ~b);
}

// bestRank is the largest rank of the row.
template <class S> __device__ u64 bestRank(const Part& p, S& s) {
  float most = -INFINITY;
  int at = 0;
  each<S>(p, [&](int id, float v) {
    if (v > most) most = v, at = id;
  });
  return maxAll(rank(most, at), s);
}

__device__ __forceinline__ float scaled(float l, float top, float inverse) { return __fmul_rn(__fsub_rn(l, top), inverse); }

// order is the place of a token with x <= 0: by falling x, then rising id.
__device__ __forceinline__ u64 order(float x, int id) { return (u64)__float_as_uint(fabsf(x)) << 32 | (u32)id; }

__device__ __forceinline__ double uniform(const SampleRow& r) {
  u32 c[4] = {r.position, r.choice, 0, 0}, k0 = (u32)r.seed, k1 = (u32)(r.seed >> 32);
  for (int i = 0; i < 10; i++) { // Philox4x32-10
    u64 p0 = (u64)0xD2511F53u * c[0], p1 = (u64)0xCD9E8D57u * c[2];
    u32 n0 = (u32)(p1 >> 32) ^ c[1] ^ k0, n2 = (u32)(p0 >> 32) ^ c[3] ^ k1;
    c[0] = n0, c[1] = (u32)p1, c[2] = n2, c[3] = (u32)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return (double)((u64)c[0] << 21 | c[1] >> 11) / 9007199254740992.0;
}

// Cells divides the tokens by x: into bins, or the tokens of one bin into BINS finer ones.
struct Cells {
  int bin; // that is divided, or -1
  __device__ __forceinline__ int operator()(float x) const {
    float f = x * BINNER;
    int b = (int)f;
    if (bin < 0) return b;
    if (b != bin) return b < bin ? -1 : BINS;
    return min(BINS - 1, (int)((f - b) * BINS));
  }
  // middle is an x of cell c.
  __device__ __forceinline__ double middle(int c) const { return bin < 0 ? (c + 0.5) / BINNER : (bin + (c + 0.5) / BINS) / BINNER; }
};

// Scale maps a logit to its x, at most 0.
struct Scale {
  float top, inverse;
  __device__ __forceinline__ float operator()(float l) const { return scaled(l, top, inverse); }
};

// A filter keeps the tokens whose order is at most last. bisect finds the smallest
// order at which the sum over kept tokens of one (mass false) or of the mass is past
// limit; for bins too full to be looked at token by token.
template <class S> __device__ __noinline__ u64 bisect(const Part& p, Scale at, u64 last, double limit, bool mass, S& s) {
  u64 low = 0, high = last;
  while (low < high) {
    u64 mid = low + (high - low) / 2;
    double sum = 0;
    each<S>(p, [&](int id, float v) {
      float x = at(v);
      if (x >= DEEPEST && order(x, id) <= mid) sum += mass ? expNeg((double)x, s.powers) : 1.0;
    });
    if (sumAll(sum, s) > limit) high = mid;
    else low = mid + 1;
  }
  return low;
}

// gather collects the kept tokens of a cell in the lead's edge; false: they are too many.
template <class S> __device__ bool gather(const Part& p, Scale at, u64 last, Cells cells, int cell, S& s) {
  sync<S>();
  if (threadIdx.x == 0) s.n = 0;
  sync<S>();
  S& to = lead(s);
  each<S>(p, [&](int id, float v) {
    float x = at(v);
    if (!(x >= DEEPEST) || cells(x) != cell || order(x, id) > last) return;
    int i = atomicAdd(&to.n, 1);
    if (i < S::EDGE) to.edge[i] = order(x, id);
  });
  sync<S>();
  return to.n <= S::EDGE;
}

// findBin is the first bin b for which past(sum of f before b, f(b)) holds, and that
// sum; BINS if there is none. f must give the same in every thread.
template <class S, class F, class P> __device__ int findBin(F f, P past, S& s) {
  constexpr int RUN = BINS / 32;
  __syncthreads();
  if (threadIdx.x < 32) {
    int lane = threadIdx.x, found = BINS;
    double own = 0;
    for (int i = 0; i < RUN; i++) own += f(lane * RUN + i);
    double before = own;
    for (int o = 1; o < 32; o <<= 1) {
      double below = __shfl_up_sync(~0u, before, o);
      if (lane >= o) before += below;
    }
    before -= own;
    for (int i = 0; i < RUN && found == BINS; i++) {
      double v = f(lane * RUN + i);
      if (past(before, v)) found = lane * RUN + i;
      else before += v;
    }
    u32 any = __ballot_sync(~0u, found < BINS);
    int first = any ? __ffs(any) - 1 : 31;
    found = __shfl_sync(~0u, found, first);
    before = __shfl_sync(~0u, before, first);
    if (lane == 0) s.bin = found, s.sums[0] = before;
  }
  __syncthreads();
  return s.bin;
}

// countBins counts the tokens of the row by cell, in every block.
template <class S> __device__ __noinline__ void countBins(const Part& p, Scale at, Cells cells, S& s) {
  u32* own = s.hist;
  sync<S>();
  if constexpr (S::CLUSTER) own = (u32*)s.mass;
  for (int i = threadIdx.x; i < BINS; i += S::THREADS) own[i] = 0;
  __syncthreads();
  each<S>(p, [&](int, float v) {
    float x = at(v);
    if (!(x >= DEEPEST)) return;
    int c = cells(x);
    if (c >= 0 && c < BINS) atomicAdd(&own[c], 1);
  });
  sync<S>();
  if constexpr (S::CLUSTER) {
    for (int i = threadIdx.x; i < BINS; i += S::THREADS) {
      u32 sum = 0;
      for (int r = 0; r < RANKS; r++) sum += *of(&own[i], r);
      s.hist[i] = sum;
    }
    sync<S>();
  }
}

// cutCount is the order of the k-th token. countBins has counted.
template <class S> __device__ __noinline__ u64 cutCount(const Part& p, Scale at, u64 last, int k, S& s) {
  Cells cells{-1};
  int want = k - 1, cell;
  for (;;) {
    int limit = want;
    cell = findBin([&](int b) { return (double)s.hist[b]; }, [&](double before, double here) { return before + here > limit; }, s);
    if (cell >= BINS) return last; // fewer have mass
    want -= (int)s.sums[0];
    if (cells.bin >= 0 || s.hist[cell] <= S::EDGE) break;
    cells.bin = cell;
    countBins(p, at, cells, s);
  }
  if (!gather(p, at, last, cells, cell, s)) return bisect(p, at, last, k - 0.5, false, s);
  if (leads<S>())
    for (int i = threadIdx.x; i < s.n; i += S::THREADS) {
      int less = 0;
      for (int j = 0; j < s.n; j++) less += s.edge[j] < s.edge[i];
      if (less == want) s.key = s.edge[i];
    }
  sync<S>();
  return lead(s).key;
}

// cutMass is the order of the last token before which at most topP of the mass lies.
template <class S> __device__ __noinline__ u64 cutMass(const Part& p, Scale at, u64 last, float topP, S& s) {
  double sum = 0;
  each<S>(p, [&](int id, float v) {
    float x = at(v);
    if (x >= DEEPEST && order(x, id) <= last) sum += expNeg((double)x, s.powers);
  });
  double total = sumAll(sum, s), limit = (double)topP * total;
  // The cell is guessed from counts and then put right.
  Cells cells{-1};
  int cell;
  double before;
  for (double base = 0;;) {
    cell = findBin([&](int b) { return s.hist[b] ? s.hist[b] * expNeg(cells.middle(b), s.powers) : 0.0; },
                   [&](double b, double here) { return base + b + here > limit; }, s);
    cell = min(cell, BINS - 1);
    double mass;
    for (int tries = 0;; tries++) {
      double b0 = 0, m0 = 0;
      each<S>(p, [&](int id, float v) {
        float x = at(v);
        if (!(x >= DEEPEST) || order(x, id) > last) return;
        int b = cells(x);
        if (b < cell) b0 += expNeg((double)x, s.powers);
        else if (b == cell) m0 += expNeg((double)x, s.powers);
      });
      before = sumAll(b0, s);
      mass = sumAll(m0, s);
      if (before > limit && cell > 0) cell--;
      else if (before + mass <= limit && cell < BINS - 1) cell++;
      else break;
      if (tries >= 8) return bisect(p, at, last, limit, true, s);
    }
    if (cells.bin >= 0 || s.hist[cell] <= S::EDGE) break;
    base = before;
    cells.bin = cell;
    countBins(p, at, cells, s);
  }
  if (!gather(p, at, last, cells, cell, s)) return bisect(p, at, last, limit, true, s);
  if (leads<S>()) {
    for (int i = threadIdx.x; i < s.n; i += S::THREADS) s.mass[i] = expNeg(-(double)__uint_as_float((u32)(s.edge[i] >> 32)), s.powers);
    __syncthreads();
    u64 best = 0;
    for (int i = threadIdx.x; i < s.n; i += S::THREADS) {
      double own = before;
      for (int j = 0; j < s.n; j++)
        if (s.edge[j] < s.edge[i]) own += s.mass[j];
      if (own <= limit) best = max(best, s.edge[i] + 1);
    }
    best = maxBlock(best, s);
    if (threadIdx.x == 0) s.key = best > 0 ? best - 1 : last;
  }
  sync<S>();
  return lead(s).key;
}

// pick draws one of a part's tokens in a run from to to (of the part), target of the
// mass of which lies before it; with one warp. -1: no token has mass.
template <class W> __device__ int pick(int from, int to, int first, double target, W weigh) {
  int lane = threadIdx.x % 32, found = -1;
  for (int i = from; i < to; i += 128) { // four consecutive tokens a lane
    int id = i + 4 * lane;
    double w[4], sum = 0;
#pragma unroll
    for (int j = 0; j < 4; j++) sum += w[j] = id + j < to ? weigh(id + j) : 0.0;
    double upTo = sum;
    for (int o = 1; o < 32; o <<= 1) {
      double below = __shfl_up_sync(~0u, upTo, o);
      if (lane >= o) upTo += below;
    }
    // The lane's token in whose share the target falls, or its last with mass.
    double rest = target - (upTo - sum);
    int mine = -1;
#pragma unroll
    for (int j = 0; j < 4; j++) {
      if (w[j] == 0) continue;
      if (mine < 0 || rest >= 0) mine = first + id + j;
      rest -= w[j];
    }
    u32 massive = __ballot_sync(~0u, sum > 0), past = __ballot_sync(~0u, sum > 0 && target < upTo);
    u32 at = past ? __ffs(past) - 1 : 31 - __clz(massive);
    int token = __shfl_sync(~0u, mine, at & 31);
    if (massive) found = token;
    if (past) break;
    target -= __shfl_sync(~0u, upTo, 31);
  }
  return found;
}

// choose finds the one of N consecutive sums in which target falls and takes the sums
// before it off; -1: all are 0.
template <int N, class F> __device__ __forceinline__ int choose(double& target, F sum) {
  int at = -1;
  double before = 0, taken = 0;
#pragma unroll
  for (int i = 0; i < N; i++) {
    double v = sum(i);
    if (v != 0 && (at < 0 || target >= before)) at = i, taken = before;
    before += v;
  }
  target -= taken;
  return at;
}

// drawToken draws after penalties and the like. It returns the token in the threads of
// one block, or -1 in the lead's; -2 in those of the other blocks.
template <class S> __device__ int drawToken(Part& p, const SampleRow& r, u64 best, S& s) {
  int none = leads<S>() ? -1 : -2;
  if (best == 0) return none;
  if (r.greedy) {
    int id = (int)~(u32)best;
    return id >= p.first && id < p.first + p.n ? id : -2;
  }
  float top = rankLogit(best);
  if (top == INFINITY) { // all of them share the mass
    for (int i = threadIdx.x; i < p.n; i += S::THREADS) p.l[i] = p.l[i] == INFINITY ? 0.f : -INFINITY;
    top = 0;
    __syncthreads();
  }
  Scale at{top, r.inverse};
  u64 last = order(DEEPEST, p.vocab);
  bool k = r.topK > 0 && r.topK < p.vocab, mass = r.topP > 0 && r.topP < 1;
  if (k || mass) countBins(p, at, Cells{-1}, s);
  if (k) last = cutCount(p, at, last, r.topK, s);
  __syncthreads();
  if (k && mass) countBins(p, at, Cells{-1}, s);
  if (mass) last = cutMass(p, at, last, r.topP, s);
  if (r.minX <= 0) last = min(last, order(r.minX, p.vocab));

  constexpr int WARPS = S::THREADS / 32;
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float lastX = -__uint_as_float((u32)(last >> 32));
  int lastID = (int)(u32)last;
  auto weight = [&](int i) {
    float x = at(p.l[i]);
    return x > lastX || x == lastX && p.first + i <= lastID ? expNeg((double)x, s.powers) : 0.0;
  };
  // In shared memory each thread weighs consecutive tokens, an odd number for the sake of
  // the banks; in device memory each warp.
  int from, to;
  double own = 0;
  if constexpr (S::CLUSTER) {
    int run = (p.n + S::THREADS - 1) / S::THREADS | 1;
    from = min(p.n, (int)threadIdx.x * run), to = min(p.n, from + run);
#pragma unroll 4
    for (int i = from; i < to; i++) own += weight(i);
  } else {
    int run = ((p.n + WARPS - 1) / WARPS + 127) / 128 * 128;
    from = min(p.n, warp * run), to = min(p.n, from + run);
#pragma unroll 8
    for (int i = from + lane; i < to; i += 32) own += weight(i);
  }
  double upTo = own;
  for (int o = 1; o < 32; o <<= 1) {
    double below = __shfl_up_sync(~0u, upTo, o);
    if (lane >= o) upTo += below;
  }
  __syncthreads();
  if (lane == 31) s.sums[warp] = upTo;
  if (threadIdx.x == 0) s.n = none;
  __syncthreads();
  double total = 0;
#pragma unroll
  for (int i = 0; i < WARPS; i++) total += s.sums[i];
  double target;
  if constexpr (S::CLUSTER) {
    u32 turn = s.turn;
    __syncthreads();
    if (threadIdx.x == 0) s.crossSum[turn] = total, s.turn = turn ^ 1;
    clusterSync();
    double all[RANKS];
    total = 0;
#pragma unroll
    for (int i = 0; i < RANKS; i++) all[i] = *of(&s.crossSum[turn], i);
#pragma unroll
    for (int i = 0; i < RANKS; i++) total += all[i];
    target = uniform(r) * total;
    int block = choose<RANKS>(target, [&](int i) { return all[i]; });
    if (block != (int)clusterRank()) return block < 0 ? none : -2;
  } else {
    target = uniform(r) * total;
  }
  if (warp == choose<WARPS>(target, [&](int i) { return s.sums[i]; })) {
    if constexpr (S::CLUSTER) {
      u32 massive = __ballot_sync(~0u, own > 0), past = __ballot_sync(~0u, own > 0 && target < upTo);
      int lead = past ? __ffs(past) - 1 : 31 - __clz(massive);
      from = __shfl_sync(~0u, from, lead), to = __shfl_sync(~0u, to, lead);
      target = __shfl_sync(~0u, target - (upTo - own), lead);
    }
    int found = pick(from, to, p.first, target, weight);
    if (lane == 0) s.n = found;
  }
  __syncthreads();
  return s.n;
}

// penalized is a logit after the penalties on a token that occurred.
__device__ __forceinline__ float penalized(float v, const SampleRow& r, int output, bool inPrompt) {
  if (r.repetition != 1.f && (output > 0 || inPrompt)) v = v > 0 ? __fdiv_rn(v, r.repetition) : __fmul_rn(v, r.repetition);
  if (output > 0) v = __fsub_rn(v, __fadd_rn(__fmul_rn(r.frequency, (float)output), r.presence));
  return v;
}

// process applies penalties, bans, mask and bias to a part; fed is a token that occurred
// once more than counts say, or -1. A block alone, which changes the logits in device
// memory, keeps the raw ones that penalties and bias change.
template <class S> __device__ __noinline__ void process(Part& p, const SampleRow& r, const int* lists, int fed, float* saved) {
  constexpr int T = S::THREADS;
  auto at = [&](int id) { return id >= p.first && id < p.first + p.n ? p.l + (id - p.first) : nullptr; };
  if constexpr (!S::CLUSTER) {
    for (int i = threadIdx.x; i < r.nCounts + r.nBias; i += T) {
      const float* v = at(i < r.nCounts ? lists[r.counts + 3 * i] : lists[r.bias + 2 * (i - r.nCounts)]);
      if (v) saved[r.saved + i] = *v;
    }
    if (threadIdx.x == 0 && at(fed)) saved[r.saved + r.nCounts + r.nBias] = *at(fed);
    __syncthreads();
  }
  bool counted = false;
  for (int i = threadIdx.x; i < r.nCounts; i += T) {
    const int* c = lists + r.counts + 3 * i;
    counted |= c[0] == fed;
    if (float* to = at(c[0])) *to = penalized(*to, r, c[1] + (c[0] == fed), c[2]);
  }
  counted = __syncthreads_or(counted);
  if (threadIdx.x == 0 && !counted && at(fed)) *at(fed) = penalized(*at(fed), r, 1, false);
  __syncthreads();
  for (int i = threadIdx.x; i < r.nBanned; i += T)
    if (float* to = at(lists[r.banned + i])) *to = -INFINITY;
  if (r.nMask >= 0)
    for (int i = threadIdx.x; i < p.n; i += T) {
      int id = p.first + i;
      if (id / 32 >= r.nMask || !((u32)lists[r.mask + id / 32] >> (id % 32) & 1)) p.l[i] = -INFINITY;
    }
  __syncthreads();
  for (int i = threadIdx.x; i < r.nBias; i += T)
    if (float* to = at(lists[r.bias + 2 * i])) atomicAdd(to, __int_as_float(lists[r.bias + 2 * i + 1]));
  __syncthreads();
}

// rawLogit is the logit of a token before process changed it in device memory.
__device__ float rawLogit(const float* l, int id, const SampleRow& r, const int* lists, int fed, const float* saved) {
  if (id == fed) return saved[r.saved + r.nCounts + r.nBias];
  for (int i = 0; i < r.nCounts; i++)
    if (lists[r.counts + 3 * i] == id) return saved[r.saved + i];
  for (int i = 0; i < r.nBias; i++)
    if (lists[r.bias + 2 * i] == id) return saved[r.saved + r.nCounts + i];
  return l[id];
}

template <class S> __device__ __forceinline__ void sampleBody(const SampleArgs& a, int row, Part p, S& s) {
  if (a.left && !a.left[row]) return;
  const SampleRow& r = a.rows[row];
  int to = a.header[1] + row;
  if (!r.draw && !r.logprob) {
    if (leads<S>() && threadIdx.x == 0) a.tokens[to] = a.drawn[to] = r.target, a.logprobs[to] = 0;
    return;
  }
  int fed = r.fed >= 0 ? a.drawn[a.header[2] + r.fed] : -1;
  const float* raw = a.logits + (i64)row * a.vocab;
  if constexpr (S::CLUSTER) {
    // The part of the row comes to shared memory.
    if (p.n % 4 || p.vocab % 4) {
      for (int i = threadIdx.x; i < p.n; i += S::THREADS) p.l[i] = raw[p.first + i];
    } else {
      for (int i = threadIdx.x; i < p.n / 4; i += S::THREADS) copy16(smemAddress(p.l + 4 * i), raw + p.first + 4 * i, true);
    }
    copyCommit();
  }
  if (threadIdx.x < 256) s.powers[threadIdx.x] = exp2(threadIdx.x / 256.0);
  if (threadIdx.x == 0) s.turn = 0;
  if constexpr (S::CLUSTER) copyWait<0>();
  __syncthreads();
  u64 best = bestRank(p, s);
  double top = -INFINITY, lse = -INFINITY;
  if (r.logprob && best > 0) {
    top = rankLogit(best);
    double sum = 0;
    if (top < INFINITY) {
      each<S>(p, [&](int, float v) {
        double d = (double)v - top;
        if (d > -700) sum += expNeg(d, s.powers);
      });
      sum = sumAll(sum, s);
    }
    lse = top == INFINITY ? top : top + log(sum);
  }
  // lone is the logit of the token that is reported.
  int token = leads<S>() ? r.target : -2;
  float lone = -INFINITY;
  if (!r.draw && token >= 0) lone = raw[token];
  if (r.draw) {
    if (r.nCounts + r.nBias + r.nBanned > 0 || r.nMask >= 0 || fed >= 0) {
      __syncthreads();
      process<S>(p, r, a.lists, fed, a.saved);
      best = bestRank(p, s);
    }
    // A +Inf that the draw rewrites stays what it was for the report.
    token = drawToken(p, r, best, s);
    if (token >= 0 && r.logprob) {
      if constexpr (S::CLUSTER) lone = raw[token];
      else lone = top == INFINITY ? INFINITY : rawLogit(raw, token, r, a.lists, fed, a.saved);
    }
  }
  if (threadIdx.x == 0 && token > -2) {
    a.tokens[to] = a.drawn[to] = token;
    float report = 0;
    if (r.logprob && token >= 0) {
      if (lone != lone || lse == -INFINITY) report = -INFINITY;
      else if (lse == INFINITY) report = lone == INFINITY ? 0.f : -INFINITY;
      else report = (float)(lone - lse);
    }
    a.logprobs[to] = report;
  }
  if constexpr (S::CLUSTER) clusterSync(); // others may still read this block's memory
}

// wordOf is the bits of a row's mask for tokens 32 * i to 32 * i + 31, of those that there are.
__device__ __forceinline__ u32 wordOf(const SampleArgs& a, const SampleRow& r, int i) {
  int n = a.vocab - 32 * i;
  u32 there = n >= 32 ? ~0u : n > 0 ? (1u << n) - 1 : 0;
  return r.nMask < 0 ? there : i < r.nMask ? (u32)a.lists[r.mask + i] & there : 0;
}

// easyRow says whether nothing is asked for but a temperature, and perhaps a mask.
__device__ __forceinline__ bool easyRow(const SampleArgs& a, const SampleRow& r) {
  return r.draw && !r.logprob && !(r.topK > 0 && r.topK < a.vocab) && !(r.topP > 0 && r.topP < 1) && r.minX > 0 &&
         r.nCounts + r.nBias + r.nBanned == 0 && r.fed < 0;
}

// mask_tiles makes the sums by tile those of the tokens that masks allow. The grid is
// (tiles / 64, rows); a warp looks at 8 tiles at once and then adds up, one by one, those
// that are allowed in part.
extern "C" __global__ void __launch_bounds__(256) mask_tiles(const __grid_constant__ SampleArgs a) {
  waitPrior();
  letNext();
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32, row = blockIdx.y, base = blockIdx.x * 64 + warp * 8;
  const SampleRow& r = a.rows[row];
  if (r.nMask < 0 || !easyRow(a, r)) return;
  float2* tops = a.tops + (i64)row * a.tiles;
  const float* l = a.logits + (i64)row * a.vocab;
  int words = a.tile / 32, own = base + lane;
  bool part = false;
  if (lane < 8 && own < a.tiles) {
    u32 any = 0, gap = 0;
    for (int w = 0; w < words; w++) {
      int i = own * words + w, n = a.vocab - 32 * i;
      u32 m = wordOf(a, r, i);
      any |= m;
      gap |= m ^ (n >= 32 ? ~0u : n > 0 ? (1u << n) - 1 : 0);
    }
    if (!any) tops[own] = make_float2(-INFINITY, 0.f);
    part = any && gap;
  }
  float rate = r.inverse * 1.44269504088896340736f;
  for (u32 left = __ballot_sync(~0u, part); left; left &= left - 1) {
    int tile = base + __ffs(left) - 1;
    float v[4], top = -INFINITY, sum = 0;
#pragma unroll
    for (int w = 0; w < 4; w++) {
      v[w] = -INFINITY;
      if (w < words && wordOf(a, r, tile * words + w) >> lane & 1) v[w] = l[(tile * words + w) * 32 + lane];
      top = fmaxf(top, v[w]);
    }
    for (int o = 16; o > 0; o >>= 1) top = fmaxf(top, __shfl_xor_sync(~0u, top, o));
#pragma unroll
    for (int w = 0; w < 4; w++)
      if (v[w] > -INFINITY) sum += exp2f((v[w] - top) * rate);
    for (int o = 16; o > 0; o >>= 1) sum += __shfl_xor_sync(~0u, sum, o);
    if (lane == 0) tops[tile] = make_float2(top, sum);
  }
}

struct Tiles {
  double powers[256], sums[8];
  u64 keys[8];
  int tile, token;
  double rest;
};

// sample_tiles draws where nothing but a temperature and a mask is asked for, from the sums that the
// last product left of each tile of logits: only the tile that is drawn from is read. The
// sums are good for 1e-6 of the mass, so a draw differs from the CPU's where it falls as
// near as that to the border between two tiles. A block takes a row.
extern "C" __global__ void __launch_bounds__(256) sample_tiles(const __grid_constant__ SampleArgs a) {
  __shared__ Tiles s;
  int tid = threadIdx.x, warp = tid / 32, lane = tid % 32, row = blockIdx.x;
  s.powers[tid] = exp2(tid / 256.0);
  if (tid == 0) s.tile = -1;
  waitPrior();
  letNext();
  const SampleRow& r = a.rows[row];
  if (!easyRow(a, r)) {
    if (tid == 0) a.left[row] = 1;
    return;
  }
  const float2* tops = a.tops + (i64)row * a.tiles;
  int per = (a.tiles + 255) / 256, from = min(a.tiles, tid * per), to = min(a.tiles, from + per);
  u64 best = 0;
  for (int i = from; i < to; i++) best = max(best, rank(tops[i].x, i));
  for (int o = 16; o > 0; o >>= 1) best = max(best, __shfl_xor_sync(~0u, best, o));
  if (lane == 0) s.keys[warp] = best;
  __syncthreads();
  for (int i = 0; i < 8; i++) best = max(best, s.keys[i]);
  float top = rankLogit(best);
  if (best == 0 || top == INFINITY) {
    if (tid == 0) a.left[row] = 1;
    return;
  }
  const float* l = a.logits + (i64)row * a.vocab;
  auto allowed = [&](int id) { return r.nMask < 0 || wordOf(a, r, id / 32) >> (id % 32) & 1; };
  auto weight = [&](int id) {
    float x = scaled(l[id], top, r.inverse);
    return x >= DEEPEST && allowed(id) ? expNeg((double)x, s.powers) : 0.0;
  };
  if (r.greedy) {
    if (tid == 0) s.tile = (int)~(u32)best;
  } else {
    auto mass = [&](int i) {
      float2 v = tops[i];
      float x = scaled(v.x, top, r.inverse);
      return x >= DEEPEST ? v.y * expNeg((double)x, s.powers) : 0.0;
    };
    double own = 0;
    for (int i = from; i < to; i++) own += mass(i);
    double upTo = own;
    for (int o = 1; o < 32; o <<= 1) {
      double below = __shfl_up_sync(~0u, upTo, o);
      if (lane >= o) upTo += below;
    }
    if (lane == 31) s.sums[warp] = upTo;
    __syncthreads();
    double total = 0, before = 0;
    for (int i = 0; i < 8; i++) {
      if (i == warp) before = total;
      total += s.sums[i];
    }
    double target = uniform(r) * total;
    // The last thread with mass takes what rounding leaves over.
    double low = before + upTo - own, rest = target - low;
    bool mine = own > 0 && rest >= 0 && (rest < own || before + upTo >= total);
    if (mine) {
      int at = -1;
      for (int i = from; i < to; i++) {
        double m = mass(i);
        if (m == 0) continue;
        at = i;
        s.rest = rest;
        if (rest < m) break;
        rest -= m;
      }
      s.tile = at;
    }
  }
  __syncthreads();
  int tile = s.tile;
  if (tile < 0) { // no thread took it
    if (tid == 0) a.left[row] = 1;
    return;
  }
  if (warp > 0) return;
  int first = tile * a.tile, end = min(a.vocab, first + a.tile), token = -1;
  if (r.greedy) {
    for (int i = first + lane; i < end && token < 0; i += 32)
      if (l[i] == top && allowed(i)) token = i;
    u32 has = (u32)token; // -1 is the largest
    for (int o = 16; o > 0; o >>= 1) has = min(has, __shfl_xor_sync(~0u, has, o));
    token = (int)has;
  } else {
    token = pick(first, end, 0, s.rest, weight);
  }
  if (lane == 0) {
    int at = a.header[1] + row;
    a.tokens[at] = a.drawn[at] = token;
    a.logprobs[at] = 0;
    a.left[row] = 0;
  }
}

extern "C" __global__ void __launch_bounds__(1024) sample(const __grid_constant__ SampleArgs a) {
  extern __shared__ __align__(16) u8 dynamic[];
  waitPrior();
  letNext();
  int row = blockIdx.x;
  sampleBody(a, row, Part{a.logits + (i64)row * a.vocab, 0, a.vocab, a.vocab}, *(Alone*)dynamic);
}

#if __CUDA_ARCH__ >= 900
// The grid is (RANKS, rows). The logits stay as they are.
extern "C" __global__ void __cluster_dims__(RANKS, 1, 1) __launch_bounds__(512, 2) sample_cluster(const __grid_constant__ SampleArgs a) {
  extern __shared__ __align__(16) u8 dynamic[];
  waitPrior();
  letNext();
  int rank = clusterRank(), per = ((a.vocab + RANKS - 1) / RANKS + 3) / 4 * 4, first = min(a.vocab, rank * per);
  int n = min(a.vocab, first + per) - first;
  sampleBody(a, blockIdx.y, Part{(float*)(dynamic + (sizeof(Together) + 15) / 16 * 16), first, n, a.vocab}, *(Together*)dynamic);
}
#else
extern "C" __global__ void sample_cluster(const __grid_constant__ SampleArgs a) {}
#endif
extern "C" __device__ const u32 sizeof_SampleAlone = sizeof(Alone);
extern "C" __device__ const u32 sizeof_SampleTogether = sizeof(Together);

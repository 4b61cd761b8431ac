// Sampling with the semantics of package engine/sample: one block per row of logits.
// Masses are added in float64, so that a draw agrees with the CPU's wherever it does
// not fall within rounding of the border between two tokens.
#include "common.cuh"

struct SampleRow {
  u64 seed;
  u32 choice, position;
  int draw;      // 0: report target only
  int target;    // -1: nothing
  int logprob;   // report the token's log-probability
  int topK;      // 0: off
  float inverse; // 1 / temperature; 0: greedy when greedy is set
  int greedy;
  float topP;    // 0: off
  float minX;    // log of min-p; above 0: off
  float frequency, presence, repetition; // repetition 1: off
  int counts, nCounts; // in lists: id, output, in prompt
  int banned, nBanned; // id
  int bias, nBias;     // id, float bits
  int mask, nMask;     // 32-bit words; nMask -1: no mask
  int saved;           // in saved: raw logits of counts, then of bias
};
STRUCT(SampleRow)

struct SampleArgs {
  float* logits; // [rows, vocab]; changed in place
  const SampleRow* rows;
  const int* lists;
  float* saved;
  int* tokens;
  float* logprobs;
  int vocab;
  int pad;
};
STRUCT(SampleArgs)

constexpr int THREADS = 1024, BINS = 2048, EDGE = 2048;
constexpr float DEEPEST = -40.f, BINNER = (BINS - 1) / DEEPEST;

struct Shared {
  double sums[32];
  u64 keys[32];
  u32 hist[BINS];
  double powers[256];
  u64 edge[EDGE];
  double mass[EDGE];
  int n, bin;
  u32 before;
  u64 key;
};

__device__ __forceinline__ double blockSum64(double v, double* scratch) {
  for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
  __syncthreads();
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
  __syncthreads();
  double s = 0;
  for (int i = 0; i < THREADS / 32; i++) s += scratch[i];
  return s;
}

__device__ __forceinline__ u64 blockMax(u64 v, u64* scratch) {
  for (int o = 16; o > 0; o >>= 1) v = max(v, __shfl_xor_sync(~0u, v, o));
  __syncthreads();
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
  __syncthreads();
  for (int i = 0; i < THREADS / 32; i++) v = max(v, scratch[i]);
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

// each calls f(id, logit) for every entry, spread over the block.
template <class F> __device__ __forceinline__ void each(const float* l, int n, F f) {
  if (n % 4) {
    for (int i = threadIdx.x; i < n; i += THREADS) f(i, l[i]);
    return;
  }
  // Four loads are on their way at a time.
  for (int base = threadIdx.x; base < n / 4; base += 4 * THREADS) {
    float4 v[4];
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (base + j * THREADS < n / 4) v[j] = ((const float4*)l)[base + j * THREADS];
#pragma unroll
    for (int j = 0; j < 4; j++) {
      int i = base + j * THREADS;
      if (i >= n / 4) break;
      f(4 * i, v[j].x);
      f(4 * i + 1, v[j].y);
      f(4 * i + 2, v[j].z);
      f(4 * i + 3, v[j].w);
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

// bestRank is the largest rank of all.
__device__ __forceinline__ u64 bestRank(const float* l, int n, u64* scratch) {
  float most = -INFINITY;
  int at = 0;
  each(l, n, [&](int id, float v) {
    if (v > most) most = v, at = id;
  });
  return blockMax(rank(most, at), scratch);
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

// A filter keeps the tokens whose order is at most last. bisect finds the smallest
// order at which the sum over kept tokens of one (mass false) or of the mass is past
// limit; for bins too full to be looked at token by token.
__device__ u64 bisect(const float* l, int n, float top, float inverse, u64 last, double limit, bool mass, Shared& s) {
  u64 low = 0, high = last;
  while (low < high) {
    u64 mid = low + (high - low) / 2;
    double sum = 0;
    each(l, n, [&](int id, float v) {
      float x = scaled(v, top, inverse);
      if (x >= DEEPEST && order(x, id) <= mid) sum += mass ? expNeg((double)x, s.powers) : 1.0;
    });
    if (blockSum64(sum, s.sums) > limit) high = mid;
    else low = mid + 1;
  }
  return low;
}

// gather collects the kept tokens of a bin; false: they are too many.
__device__ bool gather(const float* l, int n, float top, float inverse, u64 last, int bin, Shared& s) {
  __syncthreads();
  if (threadIdx.x == 0) s.n = 0;
  __syncthreads();
  each(l, n, [&](int id, float v) {
    float x = scaled(v, top, inverse);
    if (!(x >= DEEPEST) || (int)(x * BINNER) != bin || order(x, id) > last) return;
    int at = atomicAdd(&s.n, 1);
    if (at < EDGE) s.edge[at] = order(x, id);
  });
  __syncthreads();
  return s.n <= EDGE;
}

__device__ u64 cutCount(const float* l, int n, float top, float inverse, u64 last, int k, Shared& s) {
  if (threadIdx.x == 0) {
    u32 before = 0;
    int b = 0;
    while (b < BINS && before + s.hist[b] < k) before += s.hist[b++];
    s.bin = b;
    s.before = before;
  }
  __syncthreads();
  int bin = s.bin, want = k - 1 - (int)s.before;
  if (bin >= BINS) return last; // fewer have mass
  if (!gather(l, n, top, inverse, last, bin, s)) return bisect(l, n, top, inverse, last, k - 0.5, false, s);
  for (int i = threadIdx.x; i < s.n; i += THREADS) {
    int less = 0;
    for (int j = 0; j < s.n; j++) less += s.edge[j] < s.edge[i];
    if (less == want) s.key = s.edge[i];
  }
  __syncthreads();
  return s.key;
}

__device__ u64 cutMass(const float* l, int n, float top, float inverse, u64 last, float topP, Shared& s) {
  double sum = 0;
  each(l, n, [&](int id, float v) {
    float x = scaled(v, top, inverse);
    if (x >= DEEPEST && order(x, id) <= last) sum += expNeg((double)x, s.powers);
  });
  double total = blockSum64(sum, s.sums), limit = (double)topP * total;
  // The bin is guessed from counts and then put right.
  if (threadIdx.x == 0) {
    double before = 0;
    int b = 0;
    for (; b < BINS - 1; b++) {
      double m = s.hist[b] ? s.hist[b] * exp((b + 0.5) / BINNER) : 0;
      if (before + m > limit) break;
      before += m;
    }
    s.bin = b;
  }
  __syncthreads();
  int bin = s.bin;
  double before, mass;
  for (int tries = 0;; tries++) {
    double b0 = 0, m0 = 0;
    each(l, n, [&](int id, float v) {
      float x = scaled(v, top, inverse);
      if (!(x >= DEEPEST) || order(x, id) > last) return;
      int b = (int)(x * BINNER);
      if (b < bin) b0 += expNeg((double)x, s.powers);
      else if (b == bin) m0 += expNeg((double)x, s.powers);
    });
    before = blockSum64(b0, s.sums);
    mass = blockSum64(m0, s.sums);
    if (before > limit && bin > 0) bin--;
    else if (before + mass <= limit && bin < BINS - 1) bin++;
    else break;
    if (tries >= 8) return bisect(l, n, top, inverse, last, limit, true, s);
  }
  if (!gather(l, n, top, inverse, last, bin, s)) return bisect(l, n, top, inverse, last, limit, true, s);
  for (int i = threadIdx.x; i < s.n; i += THREADS) s.mass[i] = expNeg(-(double)__uint_as_float((u32)(s.edge[i] >> 32)), s.powers);
  __syncthreads();
  u64 best = 0;
  for (int i = threadIdx.x; i < s.n; i += THREADS) {
    double own = before;
    for (int j = 0; j < s.n; j++)
      if (s.edge[j] < s.edge[i]) own += s.mass[j];
    if (own <= limit) best = max(best, s.edge[i] + 1);
  }
  best = blockMax(best, s.keys);
  return best > 0 ? best - 1 : last;
}

__device__ int drawToken(float* l, int n, const SampleRow& r, Shared& s) {
  u64 best = bestRank(l, n, s.keys);
  if (best == 0) return -1;
  if (r.greedy) return (int)~(u32)best;
  float top = rankLogit(best);
  if (top == INFINITY) { // all of them share the mass
    for (int i = threadIdx.x; i < n; i += THREADS) l[i] = l[i] == INFINITY ? 0.f : -INFINITY;
    top = 0;
    __syncthreads();
  }
  u64 last = order(DEEPEST, n);
  bool k = r.topK > 0 && r.topK < n, p = r.topP > 0 && r.topP < 1;
  if (k || p) {
    for (int i = threadIdx.x; i < BINS; i += THREADS) s.hist[i] = 0;
    __syncthreads();
    each(l, n, [&](int, float v) {
      float x = scaled(v, top, r.inverse);
      if (x >= DEEPEST) atomicAdd(&s.hist[(int)(x * BINNER)], 1);
    });
    __syncthreads();
  }
  if (k) last = cutCount(l, n, top, r.inverse, last, r.topK, s);
  __syncthreads();
  if (p) last = cutMass(l, n, top, r.inverse, last, r.topP, s);
  if (r.minX <= 0) last = min(last, order(r.minX, n));

  // Each warp weighs a run of consecutive tokens.
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int run = ((n + THREADS / 32 - 1) / (THREADS / 32) + 127) / 128 * 128, from = min(n, warp * run), to = min(n, from + run);
  float lastX = -__uint_as_float((u32)(last >> 32));
  int lastID = (int)(u32)last;
  auto weigh = [&](float v, int id) {
    float x = scaled(v, top, r.inverse);
    return x > lastX || x == lastX && id <= lastID ? expNeg((double)x, s.powers) : 0.0;
  };
  auto weight = [&](int id) { return id < to ? weigh(l[id], id) : 0.0; };
  double own = 0;
  if (n % 4) {
    for (int i = from + lane; i < to; i += 32) own += weight(i);
  } else {
#pragma unroll 4
    for (int i = from + lane * 4; i < to; i += 128) {
      float4 v = *(const float4*)(l + i);
      own += weigh(v.x, i) + weigh(v.y, i + 1) + weigh(v.z, i + 2) + weigh(v.w, i + 3);
    }
  }
  for (int o = 16; o > 0; o >>= 1) own += __shfl_xor_sync(~0u, own, o);
  __syncthreads();
  if (lane == 0) s.sums[warp] = own;
  if (threadIdx.x == 0) s.n = -1;
  __syncthreads();
  double total = 0;
  for (int i = 0; i < THREADS / 32; i++) total += s.sums[i];
  double target = uniform(r) * total;
  int at = -1;
  for (int i = 0; i < THREADS / 32; i++) {
    if (s.sums[i] == 0) continue;
    at = i;
    if (target < s.sums[i]) break;
    target -= s.sums[i];
  }
  if (warp == at) {
    int found = -1;
    for (int i = from; i < to; i += 128) { // four consecutive tokens a lane
      int id = i + 4 * lane;
      double w[4], sum = 0;
#pragma unroll
      for (int j = 0; j < 4; j++) sum += w[j] = weight(id + j);
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
        if (mine < 0 || rest >= 0) mine = id + j;
        rest -= w[j];
      }
      u32 massive = __ballot_sync(~0u, sum > 0), past = __ballot_sync(~0u, sum > 0 && target < upTo);
      u32 at = past ? __ffs(past) - 1 : 31 - __clz(massive);
      int token = __shfl_sync(~0u, mine, at & 31);
      if (massive) found = token;
      if (past) break;
      target -= __shfl_sync(~0u, upTo, 31);
    }
    if (lane == 0) s.n = found;
  }
  __syncthreads();
  return s.n;
}

// process applies penalties, bans, mask and bias, and keeps the raw logits of the
// tokens that penalties and bias change.
__device__ void process(float* l, int n, const SampleRow& r, const int* lists, float* saved) {
  if (r.nCounts + r.nBias + r.nBanned == 0 && r.nMask < 0) return;
  auto valid = [&](int id) { return id >= 0 && id < n; };
  for (int i = threadIdx.x; i < r.nCounts + r.nBias; i += THREADS) {
    int id = i < r.nCounts ? lists[r.counts + 3 * i] : lists[r.bias + 2 * (i - r.nCounts)];
    if (valid(id)) saved[r.saved + i] = l[id];
  }
  __syncthreads();
  for (int i = threadIdx.x; i < r.nCounts; i += THREADS) {
    const int* c = lists + r.counts + 3 * i;
    if (!valid(c[0])) continue;
    float v = l[c[0]];
    if (r.repetition != 1.f && (c[1] > 0 || c[2])) v = v > 0 ? __fdiv_rn(v, r.repetition) : __fmul_rn(v, r.repetition);
    if (c[1] > 0) v = __fsub_rn(v, __fadd_rn(__fmul_rn(r.frequency, (float)c[1]), r.presence));
    l[c[0]] = v;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < r.nBanned; i += THREADS) {
    int id = lists[r.banned + i];
    if (valid(id)) l[id] = -INFINITY;
  }
  if (r.nMask >= 0)
    for (int i = threadIdx.x; i < n; i += THREADS)
      if (i / 32 >= r.nMask || !((u32)lists[r.mask + i / 32] >> (i % 32) & 1)) l[i] = -INFINITY;
  __syncthreads();
  for (int i = threadIdx.x; i < r.nBias; i += THREADS) {
    int id = lists[r.bias + 2 * i];
    if (valid(id)) atomicAdd(l + id, __int_as_float(lists[r.bias + 2 * i + 1]));
  }
  __syncthreads();
}

// rawLogit is the logit of a token before process changed it.
__device__ float rawLogit(const float* l, int id, const SampleRow& r, const int* lists, const float* saved) {
  for (int i = 0; i < r.nCounts; i++)
    if (lists[r.counts + 3 * i] == id) return saved[r.saved + i];
  for (int i = 0; i < r.nBias; i++)
    if (lists[r.bias + 2 * i] == id) return saved[r.saved + r.nCounts + i];
  return l[id];
}

extern "C" __global__ void __launch_bounds__(1024) sample(const __grid_constant__ SampleArgs a) {
  extern __shared__ __align__(16) u8 dynamic[];
  Shared& s = *(Shared*)dynamic;
  waitPrior();
  letNext();
  const SampleRow r = a.rows[blockIdx.x];
  if (threadIdx.x < 256) s.powers[threadIdx.x] = exp2(threadIdx.x / 256.0);
  __syncthreads();
  float* l = a.logits + (i64)blockIdx.x * a.vocab;
  int n = a.vocab, token = r.target;
  double top = -INFINITY, lse = -INFINITY, lone = -INFINITY; // lone: the target's, drawn ones follow
  if (r.logprob) {
    u64 best = bestRank(l, n, s.keys);
    if (best > 0) {
      top = rankLogit(best);
      double sum = 0;
      if (top < INFINITY) {
        each(l, n, [&](int, float v) {
          double d = (double)v - top;
          if (d > -700) sum += expNeg(d, s.powers);
        });
        sum = blockSum64(sum, s.sums);
      }
      lse = top == INFINITY ? top : top + log(sum);
    }
    if (token >= 0) lone = l[token];
  }
  __syncthreads();
  if (r.draw) {
    // A -Inf or +Inf that the draw rewrites stays what it was for the report.
    bool infinite = top == INFINITY;
    process(l, n, r, a.lists, a.saved);
    token = drawToken(l, n, r, s);
    if (token >= 0 && r.logprob) lone = infinite ? INFINITY : rawLogit(l, token, r, a.lists, a.saved);
  }
  if (threadIdx.x > 0) return;
  a.tokens[blockIdx.x] = token;
  float report = 0;
  if (r.logprob && token >= 0) {
    if (lone != lone || lse == -INFINITY) report = -INFINITY;
    else if (lse == INFINITY) report = lone == INFINITY ? 0.f : -INFINITY;
    else report = (float)(lone - lse);
  }
  a.logprobs[blockIdx.x] = report;
}

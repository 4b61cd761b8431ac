// Kernels that treat each row of activations by itself.
#include "common.cuh"

struct EmbedArgs {
  Matrix table;
  const int* tokens; // below 0: what output -1-token of the step before drew
  float* out;        // [rows, table.k]
  const int* drawn;  // tokens of the last two steps
  const int* header; // [2]: where the step before has its own in drawn
  int rows;
  int pad;
};
STRUCT(EmbedArgs)

extern "C" __global__ void embed(const __grid_constant__ EmbedArgs a) {
  waitPrior();
  letNext();
  i64 r = blockIdx.x;
  int token = a.tokens[r];
  if (token < 0) token = max(0, a.drawn[a.header[2] - 1 - token]);
  for (int k = threadIdx.x; k < a.table.k; k += blockDim.x) a.out[r * a.table.k + k] = element(a.table, token, k);
}

struct NormArgs {
  const void* x;
  const float* w; // [width]
  void* out;
  int xType, outType;
  int xStride, outStride;
  int width;
  float eps;
};
STRUCT(NormArgs)

// One block per row.
extern "C" __global__ void rmsnorm(const __grid_constant__ NormArgs a) {
  __shared__ float scratch[33];
  waitPrior();
  letNext();
  i64 x = (i64)blockIdx.x * a.xStride, o = (i64)blockIdx.x * a.outStride;
  float sum = 0;
  if (a.xType == F32 && a.width % 4 == 0 && a.xStride % 4 == 0 && a.outStride % 4 == 0 && a.outType != F32) {
    const float4* p = (const float4*)((const float*)a.x + x);
    const float4* w = (const float4*)a.w;
    for (int i = threadIdx.x; i < a.width / 4; i += blockDim.x) {
      float4 v = p[i];
      sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
    float s = rsqrtf(blockSum(sum, scratch) / a.width + a.eps);
    for (int i = threadIdx.x; i < a.width / 4; i += blockDim.x) {
      float4 v = p[i], g = w[i];
      uint2 u;
      if (a.outType == BF16) u.x = pack2<bf16>(v.x * s * g.x, v.y * s * g.y), u.y = pack2<bf16>(v.z * s * g.z, v.w * s * g.w);
      else u.x = pack2<f16>(v.x * s * g.x, v.y * s * g.y), u.y = pack2<f16>(v.z * s * g.z, v.w * s * g.w);
      ((uint2*)((u16*)a.out + o))[i] = u;
    }
    return;
  }
  for (int i = threadIdx.x; i < a.width; i += blockDim.x) {
    float v = load(a.x, a.xType, x + i);
    sum += v * v;
  }
  float s = 1.f / sqrtf(blockSum(sum, scratch) / a.width + a.eps);
  for (int i = threadIdx.x; i < a.width; i += blockDim.x) store(a.out, a.outType, o + i, load(a.x, a.xType, x + i) * s * a.w[i]);
}

struct MoveArgs {
  const void* x;
  const void* y;   // null: out = x
  const int* from; // row of x for each row of out, or null
  void* out;
  int xType, yType, outType;
  int xStride, yStride, outStride;
  int width;
  int rows;
  int glu; // y given: 0 out = x + y, 1 out = silu(x) * y
  int pad;
};
STRUCT(MoveArgs)

// Copies, gathers, adds and gates.
extern "C" __global__ void move(const __grid_constant__ MoveArgs a) {
  waitPrior();
  letNext();
  i64 n = (i64)a.rows * a.width;
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (i64)gridDim.x * blockDim.x) {
    i64 r = i / a.width, c = i % a.width;
    float v = load(a.x, a.xType, (a.from ? a.from[r] : r) * a.xStride + c);
    if (a.y) {
      float y = load(a.y, a.yType, r * a.yStride + c);
      v = a.glu ? silu(v) * y : v + y;
    }
    store(a.out, a.outType, r * a.outStride + c, v);
  }
}

struct CopyArgs {
  u8* cache;       // [layers · 2, pages, page bytes]
  i64 planeBytes;  // pages · page bytes
  i64 pageBytes;
  i64 bytes;       // to copy of the page
  int src, dst;
};
STRUCT(CopyArgs)

// One page copy; blockIdx.y is the plane (layer, keys or values).
extern "C" __global__ void copypage(const __grid_constant__ CopyArgs a) {
  waitPrior();
  letNext();
  u8* plane = a.cache + blockIdx.y * a.planeBytes;
  const u16* s = (const u16*)(plane + a.src * a.pageBytes);
  u16* d = (u16*)(plane + a.dst * a.pageBytes);
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < a.bytes / 2; i += (i64)gridDim.x * blockDim.x) d[i] = s[i];
}

struct TableArgs {
  const double* freq; // [half]
  float2* out;        // [positions, half] cosine and sine
  double scale;
  int positions, half;
};
STRUCT(TableArgs)

extern "C" __global__ void ropetable(const __grid_constant__ TableArgs a) {
  i64 n = (i64)a.positions * a.half;
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (i64)gridDim.x * blockDim.x) {
    double s, c;
    sincos((double)(i / a.half) * a.freq[i % a.half], &s, &c);
    a.out[i] = make_float2((float)(c * a.scale), (float)(s * a.scale));
  }
}

// Part is a run of heads that are treated alike: normalised if norm is set, rotated
// if table is set, then written to out or to the cache.
struct Part {
  const void* x;
  const float* norm;   // [head dim]
  const float2* table; // [positions, head dim / 2]
  void* out;           // [rows, outStride], or the cache of a layer
  int xType, outType;
  int xStride, outStride;
  int heads;
  int interleaved;
  int toCache; // out row is the row's slot instead of the row
  float eps;
};

struct HeadsArgs {
  Part part[3];
  const int* positions; // -1: a row without a sequence
  const int* slots;
  int parts;
  int headDim;
  int rows;
  int pad;
};
STRUCT(HeadsArgs)

// One warp per row and head.
extern "C" __global__ void heads(const __grid_constant__ HeadsArgs a) {
  waitPrior();
  letNext();
  int warp = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  int total = 0;
  for (int i = 0; i < a.parts; i++) total += a.part[i].heads;
  int row = warp / total, head = warp % total;
  if (row >= a.rows) return;
  int position = a.positions[row];
  if (position < 0) return;
  int i = 0;
  while (head >= a.part[i].heads) head -= a.part[i++].heads;
  const Part& p = a.part[i];
  i64 x = (i64)row * p.xStride + head * a.headDim;
  i64 o = (i64)(p.toCache ? a.slots[row] : row) * p.outStride + head * a.headDim;
  float s = 1;
  if (p.norm) {
    float sum = 0;
    for (int k = lane; k < a.headDim; k += 32) {
      float v = load(p.x, p.xType, x + k);
      sum += v * v;
    }
    s = 1.f / sqrtf(warpSum(sum) / a.headDim + p.eps);
  }
  if (!p.table) {
    for (int k = lane; k < a.headDim; k += 32) {
      float v = load(p.x, p.xType, x + k) * s;
      store(p.out, p.outType, o + k, p.norm ? v * p.norm[k] : v);
    }
    return;
  }
  int half = a.headDim / 2;
  const float2* t = p.table + (i64)position * half;
  for (int k = lane; k < half; k += 32) {
    int first = p.interleaved ? 2 * k : k, second = p.interleaved ? 2 * k + 1 : k + half;
    float u = load(p.x, p.xType, x + first) * s, v = load(p.x, p.xType, x + second) * s;
    if (p.norm) u *= p.norm[first], v *= p.norm[second];
    float2 cs = t[k];
    store(p.out, p.outType, o + first, u * cs.x - v * cs.y);
    store(p.out, p.outType, o + second, u * cs.y + v * cs.x);
  }
}

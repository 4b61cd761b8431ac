// Number formats, programmatic dependent launch and warp reductions that every
// kernel file shares. No header of a toolkit is needed: conversions and matrix
// instructions are written in PTX.
#pragma once

typedef unsigned char u8;
typedef signed char i8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

// Storage formats, as kernels.Type on the Go side numbers them.
enum { F32 = 0, F16 = 1, BF16 = 2, Q8_0 = 3, Q4_0 = 4, Q4_1 = 5 };

struct alignas(2) f16 { u16 bits; };
struct alignas(2) bf16 { u16 bits; };

#define INFINITY __int_as_float(0x7f800000)

// STRUCT exports the size of a parameter struct; the Go side compares it at load.
#define STRUCT(S) extern "C" __device__ const u32 sizeof_##S = sizeof(S);

__device__ __forceinline__ float tof(float v) { return v; }
__device__ __forceinline__ float tof(bf16 v) { return __uint_as_float((u32)v.bits << 16); }
__device__ __forceinline__ float tof(f16 v) {
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(v.bits));
  return r;
}

// Half floats saturate: an activation beyond 65504 becomes 65504, not infinite.
__device__ __forceinline__ float clamp16(float x) { return x != x ? x : fminf(fmaxf(x, -65504.f), 65504.f); }

template <class T> __device__ __forceinline__ T fromf(float x);
template <> __device__ __forceinline__ float fromf<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 fromf<bf16>(float x) {
  bf16 r;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
  return r;
}
template <> __device__ __forceinline__ f16 fromf<f16>(float x) {
  f16 r;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(clamp16(x)));
  return r;
}

// pack2 rounds a (low half) and b (high half).
template <class T> __device__ __forceinline__ u32 pack2(float a, float b);
template <> __device__ __forceinline__ u32 pack2<bf16>(float a, float b) {
  u32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(b), "f"(a));
  return r;
}
template <> __device__ __forceinline__ u32 pack2<f16>(float a, float b) {
  u32 r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(clamp16(b)), "f"(clamp16(a)));
  return r;
}

__device__ __forceinline__ float load(const void* p, int type, i64 i) {
  if (type == F32) return ((const float*)p)[i];
  if (type == F16) return tof(((const f16*)p)[i]);
  return tof(((const bf16*)p)[i]);
}

__device__ __forceinline__ void store(void* p, int type, i64 i, float v) {
  if (type == F32) ((float*)p)[i] = v;
  else if (type == F16) ((f16*)p)[i] = fromf<f16>(v);
  else ((bf16*)p)[i] = fromf<bf16>(v);
}

// A weight [n, k], row-major. Block formats keep their numbers apart: q has the
// integers (32 bytes a block, or 16 with element i in the low and i+16 in the high
// nibble of byte i), d the scales and m the minima as half floats.
struct Matrix {
  const void* q;
  const f16* d;
  const f16* m;
  int type;
  int n;
  int k;
  int pad;
};

__device__ __forceinline__ float element(const Matrix& w, i64 n, int k) {
  if (w.type <= BF16) return load(w.q, w.type, n * w.k + k);
  i64 block = n * (w.k / 32) + k / 32;
  float d = tof(w.d[block]);
  if (w.type == Q8_0) return d * (float)((const i8*)w.q)[n * w.k + k];
  u8 b = ((const u8*)w.q)[block * 16 + (k & 15)];
  int v = (k & 16) ? b >> 4 : b & 15;
  if (w.type == Q4_0) return d * (float)(v - 8);
  return d * (float)v + tof(w.m[block]);
}

__device__ __forceinline__ float silu(float x) { return x / (1.f + expf(-x)); }

// fastSilu is good for half floats.
__device__ __forceinline__ float fastSilu(float x) { return __fdividef(x, 1.f + __expf(-x)); }

// exp2Fast is good for single floats but for the last two bits.
__device__ __forceinline__ float exp2Fast(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}

// With programmatic dependent launch a kernel may start before the one that it
// follows has ended: nothing of an earlier kernel may be touched before waitPrior,
// and letNext says that the following kernel may be scheduled.
__device__ __forceinline__ void waitPrior() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ __forceinline__ void letNext() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

__device__ __forceinline__ float warpSum(float v) {
  for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
  return v;
}

// blockSum adds v over all threads of the block; scratch has 33 floats. Every
// thread gets the sum, added in one order.
__device__ __forceinline__ float blockSum(float v, float* scratch) {
  int warps = blockDim.x / 32;
  v = warpSum(v);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x < 32) {
    float s = warpSum(threadIdx.x < warps ? scratch[threadIdx.x] : 0.f);
    if (threadIdx.x == 0) scratch[32] = s;
  }
  __syncthreads();
  float s = scratch[32];
  __syncthreads();
  return s;
}

template <class T> __device__ __forceinline__ void mma(float (&c)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1);
template <> __device__ __forceinline__ void mma<bf16>(float (&c)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
template <> __device__ __forceinline__ void mma<f16>(float (&c)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

__device__ __forceinline__ u32 smemAddress(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// copy16 starts an asynchronous copy of 16 bytes to shared memory; with on false it
// writes zeros and reads nothing.
__device__ __forceinline__ void copy16(u32 to, const void* from, bool on) {
  int n = on ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(n) : "memory");
}
__device__ __forceinline__ void copyCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> __device__ __forceinline__ void copyWait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

__device__ __forceinline__ void ldmatrix4(u32 (&r)[4], u32 at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}
__device__ __forceinline__ void ldmatrix4t(u32 (&r)[4], u32 at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}
__device__ __forceinline__ u32 transpose8(u32 v) {
  u32 r;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(v));
  return r;
}

// read16 loads 16 bytes that are read once: they need not stay in the first cache.
__device__ __forceinline__ uint4 read16(const void* p) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
}

// Warpgroup instructions of Hopper (sm_90a): products of 64 rows by four warps, with
// operands in shared memory in tiles of 128-byte rows whose 16-byte pieces lie at their
// number xor the row, or with the left one in registers.
#pragma once
#include "common.cuh"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// describe is the descriptor of a tile: address, 1024 bytes between groups of eight
// rows, 128-byte swizzling.
__device__ __forceinline__ u64 describe(u32 at) { return (u64)((at & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62; }

template <class T, int BN> struct Wgmma;

#define ACC4(b) "+f"(c[b][0]), "+f"(c[b][1]), "+f"(c[b][2]), "+f"(c[b][3])
#define ACC32 ACC4(0), ACC4(1), ACC4(2), ACC4(3), ACC4(4), ACC4(5), ACC4(6), ACC4(7)
#define ACC64 ACC32, ACC4(8), ACC4(9), ACC4(10), ACC4(11), ACC4(12), ACC4(13), ACC4(14), ACC4(15)
#define LIST32 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define LIST64 LIST32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"

#define WGMMA(T, NAME, BN, LIST, ACC, A, B)                                                              \
  template <> struct Wgmma<T, BN> {                                                                      \
    static __device__ __forceinline__ void run(float (&c)[BN / 8][4], u64 a, u64 b) {                    \
      asm volatile("wgmma.mma_async.sync.aligned.m64n" #BN "k16.f32." NAME "." NAME " {" LIST "}, " A ", " B ", 1, 1, 1, 0, 0;" \
                   : ACC                                                                                 \
                   : "l"(a), "l"(b));                                                                    \
    }                                                                                                    \
  };
WGMMA(f16, "f16", 64, LIST32, ACC32, "%32", "%33")
WGMMA(f16, "f16", 128, LIST64, ACC64, "%64", "%65")
WGMMA(bf16, "bf16", 64, LIST32, ACC32, "%32", "%33")
WGMMA(bf16, "bf16", 128, LIST64, ACC64, "%64", "%65")

// Product64 is a product of 64 rows with 64 columns and 16 terms. scores starts or
// continues a sum of a · bᵀ, both rows of shared memory; weigh adds p · v, p in
// registers and v with its terms one below the other.
template <class T> struct Product64;
#define PRODUCT64(T, NAME)                                                                               \
  template <> struct Product64<T> {                                                                      \
    static __device__ __forceinline__ void scores(float (&c)[8][4], u64 a, u64 b, bool add) {            \
      asm volatile("{.reg .pred p; setp.ne.b32 p, %34, 0;"                                               \
                   "wgmma.mma_async.sync.aligned.m64n64k16.f32." NAME "." NAME " {" LIST32 "}, %32, %33, p, 1, 1, 0, 0;}" \
                   : ACC32                                                                               \
                   : "l"(a), "l"(b), "r"((int)add));                                                     \
    }                                                                                                    \
    static __device__ __forceinline__ void weigh(float (&c)[8][4], const u32 (&p)[4], u64 b) {           \
      asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32." NAME "." NAME " {" LIST32 "}, {%32,%33,%34,%35}, %36, 1, 1, 1, 1;" \
                   : ACC32                                                                               \
                   : "r"(p[0]), "r"(p[1]), "r"(p[2]), "r"(p[3]), "l"(b));                                \
    }                                                                                                    \
  };
PRODUCT64(f16, "f16")
PRODUCT64(bf16, "bf16")

__device__ __forceinline__ void productsBegin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void productsCommit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> __device__ __forceinline__ void productsWait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }
// pin keeps the compiler from using sums before they are waited for.
template <int N> __device__ __forceinline__ void pin(float (&c)[N][4]) {
#pragma unroll
  for (int i = 0; i < N; i++) asm volatile("" : "+f"(c[i][0]), "+f"(c[i][1]), "+f"(c[i][2]), "+f"(c[i][3])::"memory");
}
// sharedWritten makes ordinary writes to shared memory visible to the instructions.
__device__ __forceinline__ void sharedWritten() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
#endif

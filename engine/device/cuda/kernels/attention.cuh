// What all attentions over paged keys and values share.
#pragma once
#include "common.cuh"

struct AttentionArgs {
  const void* q; // [rows, qStride]
  const void* k; // cache of the layer: [pages · page tokens, kvHeads · head dim]
  const void* v;
  void* out;            // [rows, heads · head dim]
  const int* tables;    // [sequences, header[0]] pages
  const int* seqs;      // [sequences][4]: first row, rows, tokens before, unused
  const int* rowSeq;    // plain: sequence of a row, -1: none
  const int* positions; // plain: position of a row
  const int* work;      // decode: sequence; prefill: sequence and number of its tile; -1: none
  const int* header;    // [0]: pages per sequence in tables
  float* partial;       // decode: [work][kvHeads][splits][16][head dim + 2]
  u32* counters;        // decode: [work][kvHeads], zero between launches
  int qStride;
  int type; // of q, cache and out
  int heads, kvHeads, headDim;
  int pageTokens, pageShift; // shift -1: no power of two
  int window;                // 0: all
  int splits;
  float scale;
  // decode_all: one row per sequence, row i of sequence i. Queries are taken as the
  // product left them, normed and rotated, and the row's key and value are cached.
  const float* qNorm; // [head dim] or null
  const float* kNorm;
  const float2* qTable; // [positions, head dim / 2] or null
  const float2* kTable;
  const void* kNew; // [rows, qStride]
  const void* vNew;
  const int* slots;
  float qEps, kEps;
  int qInterleaved, kInterleaved;
};

__device__ __forceinline__ i64 tokenSlot(const AttentionArgs& a, const int* table, int token) {
  if (a.pageShift >= 0) return ((i64)table[token >> a.pageShift] << a.pageShift) + (token & (a.pageTokens - 1));
  return (i64)table[token / a.pageTokens] * a.pageTokens + token % a.pageTokens;
}

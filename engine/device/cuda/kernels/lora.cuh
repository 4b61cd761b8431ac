// How adapters lie in memory; lora.cu says in which order A and B are stored.
#pragma once
#include "common.cuh"

// LoraTerm is a pair of an adapter in a product.
struct LoraTerm {
  const void* a; // of all pairs of the product: [total][columns / 32] pieces
  const void* b; // [rows / 32][octets] pieces
  int first;     // its first 8 rows of A, counted over all pairs
  int octets;    // how many times 8 rows; 0: the adapter leaves this product alone
  float factor;
  int total; // of all pairs
};

// LoraPair is a place for a pair: where the columns of its product lie in delta.
struct LoraPair {
  int n, offset;
  int step; // 2: this one's columns and the next one's come in turns
  int pad;
};

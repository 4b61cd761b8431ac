// What sampling must know of each row of logits.
#pragma once
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
  int saved;           // in saved: raw logits of counts, of bias, and of the token of fed
  int fed;             // output of the step before whose token counts as well; -1: none
  int pad;
};

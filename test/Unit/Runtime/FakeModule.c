/*===- FakeModule.c - A module.so written by hand ---------------------------===
 *
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 * What the compiler would emit for a language model small enough to predict:
 * the token after a sequence is (sum of its tokens + shift[last token]) mod 7.
 *
 *===------------------------------------------------------------------------===*/

#include "moe-runtime/module_abi.h"

#include <string.h>

enum { VOCAB = 7, WIDTH = 4 };

typedef struct {
  void *allocated, *aligned;
  int64_t offset, size, stride;
} memref1;

typedef struct {
  void *allocated, *aligned;
  int64_t offset, sizes[2], strides[2];
} memref2;

/* y: f32[T, 4] = 2 x, by way of the workspace. */
static int64_t block_workspace(const moe_invocation *call,
                               void *const *descriptors) {
  (void)call;
  return ((const memref2 *)descriptors[0])->sizes[0] * WIDTH *
         (int64_t)sizeof(float);
}

static void block(const moe_invocation *call, void *const *descriptors) {
  const memref2 *x = descriptors[0], *y = descriptors[1];
  int64_t size = x->sizes[0] * x->strides[0];
  float *copy = call->workspace;
  for (int64_t i = 0; i < size; ++i)
    copy[i] = 2 * ((const float *)x->aligned)[i];
  if (size > 0)
    memcpy(y->aligned, copy, size * sizeof(float));
}

/* tokens, cu, past, slot, rows, cache: i32[slots, max_len], logits. */
static int64_t forward_workspace(const moe_invocation *call,
                                 void *const *descriptors) {
  (void)call, (void)descriptors;
  return 0;
}

static void forward(const moe_invocation *call, void *const *descriptors) {
  const float *shift = call->parameters[0];
  const int32_t *tokens = ((const memref1 *)descriptors[0])->aligned;
  const int32_t *cu = ((const memref1 *)descriptors[1])->aligned;
  const int32_t *past = ((const memref1 *)descriptors[2])->aligned;
  const int32_t *slot = ((const memref1 *)descriptors[3])->aligned;
  const int32_t *rows = ((const memref1 *)descriptors[4])->aligned;
  const memref2 *cache = descriptors[5];
  const memref2 *logits = descriptors[6];
  int64_t sequences = ((const memref1 *)descriptors[2])->size;

  for (int64_t b = 0; b < sequences; ++b) {
    uint64_t begin = __builtin_ia32_rdtsc();
    int32_t *cached = (int32_t *)cache->aligned + slot[b] * cache->strides[0];
    for (int32_t row = cu[b]; row < cu[b + 1]; ++row) {
      int64_t position = past[b] + row - cu[b];
      int32_t sum = (int32_t)shift[tokens[row]];
      cached[position] = tokens[row];
      for (int64_t i = 0; i <= position; ++i)
        sum += cached[i];
      for (int64_t r = 0; r < logits->sizes[0]; ++r)
        if (rows[r] == row)
          for (int32_t id = 0; id < VOCAB; ++id)
            ((float *)logits->aligned)[r * VOCAB + id] = id == sum % VOCAB;
    }
    if (call->trace) {
      const moe_event event = {0, b, begin, __builtin_ia32_rdtsc()};
      call->trace->events[call->trace->count++ & call->trace->mask] = event;
    }
  }
}

/* tokens, cu, slot: for packages that say to have an encoder. */
static int64_t encode_workspace(const moe_invocation *call,
                                void *const *descriptors) {
  (void)call, (void)descriptors;
  return 0;
}

static void encode(const moe_invocation *call, void *const *descriptors) {
  (void)call, (void)descriptors;
}

static const moe_entry entries[] = {{"block", block, block_workspace},
                                    {"encode", encode, encode_workspace},
                                    {"forward", forward, forward_workspace}};

static const moe_level levels[] = {
    {"v1", "", 3, entries},
    {"v2", "sse3", 3, entries},
    {"v9", "sse3,warp-drive", 3, entries},
};

__attribute__((visibility("default"))) const moe_module moe_module_info = {
    MOE_MODULE_ABI, "by hand", "fake-1", 3, levels};

/* concurrent PACKAGE: several threads share a model and call it at the same
 * time, each with its own prompt and state; prints "equal" if each computes the
 * bits that it computes alone.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */

#include <moe-runtime/moe.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLERS = 4, ROUNDS = 5, TOKENS = 19 };

static moe_model *model;

static void check(moe_status status) {
  if (status != MOE_OK) {
    fprintf(stderr, "%s\n", moe_error());
    exit(1);
  }
}

/* Computes the logits of the caller's own prompt, in calls of these lengths. */
static void compute(int caller, float *logits) {
  static const int32_t lengths[] = {16, 1, 1, 1};
  int64_t vocab = moe_model_describe(model)->vocab;
  moe_state *state;
  check(moe_state_create(model, 1, TOKENS, TOKENS, /*threads=*/2, &state));
  int32_t tokens[TOKENS], rows[TOKENS], past = 0, slot = 0;
  for (int32_t i = 0; i < TOKENS; ++i) {
    tokens[i] = (7 * caller + 5 * i) % vocab;
    rows[i] = i;
  }
  for (int i = 0; i < 4; ++i) {
    int32_t n = lengths[i], cu[] = {0, n};
    check(moe_forward(state, n, tokens + past, 1, cu, &past, &slot, n, rows,
                      logits + past * vocab));
    past += n;
  }
  moe_state_destroy(state);
}

struct caller {
  int number;
  const float *expected;
  int different;
};

static void *call(void *argument) {
  struct caller *caller = argument;
  size_t bytes = TOKENS * moe_model_describe(model)->vocab * sizeof(float);
  float *logits = malloc(bytes);
  for (int round = 0; round < ROUNDS; ++round) {
    compute(caller->number, logits);
    caller->different |= memcmp(logits, caller->expected, bytes) != 0;
  }
  free(logits);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 2)
    return 1;
  check(moe_model_open(argv[1], NULL, &model));
  size_t count = TOKENS * moe_model_describe(model)->vocab;
  pthread_t threads[CALLERS];
  struct caller callers[CALLERS];
  for (int i = 0; i < CALLERS; ++i) {
    float *expected = malloc(count * sizeof(float));
    compute(i, expected);
    callers[i] = (struct caller){i, expected, 0};
  }
  for (int i = 0; i < CALLERS; ++i)
    pthread_create(&threads[i], NULL, call, &callers[i]);
  int different = 0;
  for (int i = 0; i < CALLERS; ++i) {
    pthread_join(threads[i], NULL);
    different |= callers[i].different;
    free((void *)callers[i].expected);
  }
  moe_model_close(model);
  printf(different ? "different\n" : "equal\n");
  return 0;
}

/* generate PACKAGE ID...: prints up to 32 token ids that follow a prompt.
 * cc generate.c -lmoe-runtime
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */

#include <moe-runtime/moe.h>

#include <stdio.h>
#include <stdlib.h>

static void check(moe_status status) {
  if (status != MOE_OK) {
    fprintf(stderr, "%s\n", moe_error());
    exit(1);
  }
}

int main(int argc, char **argv) {
  enum { MAX_NEW_TOKENS = 32 };
  if (argc < 3) {
    fprintf(stderr, "usage: generate PACKAGE ID...\n");
    return 1;
  }
  int32_t n = argc - 2;
  moe_model *model;
  check(moe_model_open(argv[1], NULL, &model));
  const moe_model_info *info = moe_model_describe(model);
  moe_state *state;
  check(moe_state_create(model, /*slots=*/1, /*max_len=*/info->max_len,
                         /*max_tokens=*/n, /*threads=*/0, &state));

  int32_t *tokens = malloc(n * sizeof(int32_t));
  float *logits = malloc(info->vocab * sizeof(float));
  for (int32_t i = 0; i < n; ++i)
    tokens[i] = atoi(argv[2 + i]);

  int32_t past = 0, slot = 0, next = 0, done = 0;
  for (int i = 0; i < MAX_NEW_TOKENS && !done; ++i) {
    int32_t cu[] = {0, n}, row = n - 1;
    check(moe_forward(state, n, tokens, 1, cu, &past, &slot, 1, &row, logits));
    past += n;
    next = 0;
    for (int32_t id = 1; id < info->vocab; ++id)
      if (logits[id] > logits[next])
        next = id;
    printf("%d ", next);
    for (size_t j = 0; j < info->num_eos; ++j)
      done |= next == info->eos[j];
    tokens[0] = next;
    n = 1;
  }
  printf("\n");

  free(logits);
  free(tokens);
  moe_state_destroy(state);
  moe_model_close(model);
  return 0;
}

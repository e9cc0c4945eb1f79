/* calls PACKAGE THREADS: calls functions as lines of the input say, so that one
 * process of an emulator serves many calls.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *   reserve SLOTS MAX_LEN MAX_TOKENS
 *   FUNCTION
 *
 * The arrays of a function's inputs follow its line, and those of its outputs
 * are the answer: extents as int64_t, then elements. */

#include <moe-runtime/moe.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(moe_status status) {
  if (status != MOE_OK) {
    fprintf(stderr, "%s\n", moe_error());
    exit(1);
  }
}

static void get(void *data, size_t bytes) {
  if (fread(data, 1, bytes, stdin) != bytes)
    exit(1);
}

/* Gives a tensor, whose shape is known, memory for its elements. */
static size_t allocate(moe_tensor *tensor) {
  size_t bytes = moe_dtype_size(tensor->dtype);
  for (size_t i = 0; i < tensor->rank; ++i)
    bytes *= tensor->shape[i];
  tensor->data = malloc(bytes);
  return bytes;
}

static void call(moe_state *state, const moe_function *function) {
  moe_tensor tensors[MOE_MAX_ARGUMENTS];
  int64_t shapes[MOE_MAX_ARGUMENTS][MOE_MAX_RANK];
  size_t bytes[MOE_MAX_ARGUMENTS];
  size_t inputs = function->num_inputs, all = inputs + function->num_outputs;
  size_t number = 0;
  for (size_t i = 0; i < function->num_arguments; ++i) {
    const moe_argument *argument = &function->arguments[i];
    if (argument->kind == MOE_STATE)
      continue;
    int64_t *shape = shapes[number];
    tensors[number] = (moe_tensor){argument->dtype, argument->rank, shape, 0};
    if (argument->kind == MOE_INPUT)
      get(shape, argument->rank * sizeof(int64_t));
    else
      check(moe_output_shape(state, function, tensors, inputs, number - inputs,
                             shape));
    bytes[number] = allocate(&tensors[number]);
    if (argument->kind == MOE_INPUT)
      get(tensors[number].data, bytes[number]);
    ++number;
  }
  check(moe_call(state, function, tensors, inputs, tensors + inputs,
                 all - inputs));
  for (size_t i = inputs; i < all; ++i) {
    fwrite(shapes[i], sizeof(int64_t), tensors[i].rank, stdout);
    fwrite(tensors[i].data, 1, bytes[i], stdout);
  }
  fflush(stdout);
  for (size_t i = 0; i < all; ++i)
    free(tensors[i].data);
}

int main(int argc, char **argv) {
  if (argc != 3)
    return 1;
  moe_model *model;
  check(moe_model_open(argv[1], NULL, &model));
  moe_state *state = NULL;
  char line[256];
  while (fgets(line, sizeof(line), stdin)) {
    int64_t slots, max_len, max_tokens;
    line[strcspn(line, "\n")] = '\0';
    if (sscanf(line, "reserve %" SCNd64 " %" SCNd64 " %" SCNd64, &slots,
               &max_len, &max_tokens) == 3) {
      moe_state_destroy(state);
      check(moe_state_create(model, slots, max_len, max_tokens, atoi(argv[2]),
                             &state));
    } else {
      call(state, moe_find_function(model, line));
    }
  }
  moe_state_destroy(state);
  moe_model_close(model);
  return 0;
}

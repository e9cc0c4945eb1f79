/* allocations PACKAGE: prints how often memory was allocated on the heap until
 * the first call ended, which starts the threads, and in the calls after it.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */

#include <moe-runtime/moe.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_long allocations;

/* The functions of libc, for every library of the process, and those behind
 * them by glibc's own names. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *address, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
  ++allocations;
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  ++allocations;
  return __libc_calloc(count, size);
}

void *realloc(void *address, size_t size) {
  ++allocations;
  return __libc_realloc(address, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  ++allocations;
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **address, size_t alignment, size_t size) {
  ++allocations;
  *address = __libc_memalign(alignment, size);
  return *address ? 0 : ENOMEM;
}

static void check(moe_status status) {
  if (status != MOE_OK) {
    fprintf(stderr, "%s\n", moe_error());
    exit(1);
  }
}

int main(int argc, char **argv) {
  enum { TOKENS = 16, CALLS = 8, MAX_LEN = 80, THREADS = 3 };
  if (argc != 2)
    return 1;
  moe_model *model;
  check(moe_model_open(argv[1], NULL, &model));
  moe_state *state;
  check(moe_state_create(model, 1, MAX_LEN, TOKENS, THREADS, &state));
  float *logits = malloc(moe_model_describe(model)->vocab * sizeof(float));

  int32_t tokens[TOKENS] = {0}, past = 0, slot = 0;
  long before = 0;
  for (int call = 0; call < CALLS; ++call) {
    /* Prompts and single tokens take turns. */
    int32_t n = call % 2 ? 1 : TOKENS, cu[] = {0, n}, row = n - 1;
    check(moe_forward(state, n, tokens, 1, cu, &past, &slot, 1, &row, logits));
    past += n;
    if (call == 0)
      before = allocations;
  }
  long after = allocations - before;

  free(logits);
  moe_state_destroy(state);
  moe_model_close(model);
  printf("%ld %ld\n", before, after);
  return 0;
}

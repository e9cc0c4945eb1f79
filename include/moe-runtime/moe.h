//===- moe.h - Open and call compiled packages ------------------*- C -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The C API of libmoe-runtime. A *model* is an opened package: code, weights
// and what the manifest says of them; it is immutable and any number of threads
// may share it. A *state* holds what calls write: caches and workspace; one
// thread at a time uses a state, and different states may be used concurrently.
//
//   moe_model *model;
//   moe_state *state;
//   moe_model_open("olmoe.moe", NULL, &model);
//   moe_state_create(model, /*slots=*/1, /*max_len=*/512, /*max_tokens=*/64,
//                    /*threads=*/0, &state);
//   moe_forward(state, n, tokens, 1, cu, past, slot, 1, rows, logits);
//
// Functions that can fail return a moe_status and leave a message for the
// calling thread in moe_error(). Nothing here reads the environment.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_RUNTIME_MOE_H
#define MOE_RUNTIME_MOE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MOE_API __attribute__((visibility("default")))

/* Limits of one function; a package beyond them is refused when it is opened.
 */
#define MOE_MAX_ARGUMENTS 64
#define MOE_MAX_RANK 8
#define MOE_MAX_SYMBOLS 32
/* Largest number of threads of a state. */
#define MOE_MAX_THREADS 4096

typedef enum moe_status {
  MOE_OK = 0,
  /* An argument of the call is not what the function takes. */
  MOE_INVALID_ARGUMENT = 1,
  /* The package is incomplete, damaged, or of another version. */
  MOE_INVALID_PACKAGE = 2,
  /* This machine's CPU lacks what the package needs. */
  MOE_UNSUPPORTED_CPU = 3,
  MOE_OUT_OF_MEMORY = 4
} moe_status;

/* Version of the library: "major.minor.patch". */
MOE_API const char *moe_version(void);

/* What went wrong in the last call on this thread that failed; "" before the
 * first. Lower case, naming the file or thing, what was expected and what was
 * found. Valid until the next call on this thread fails. */
MOE_API const char *moe_error(void);

//===----------------------------------------------------------------------===//
// Element types
//===----------------------------------------------------------------------===//

typedef enum moe_dtype {
  MOE_F64 = 0,
  MOE_F32 = 1,
  MOE_F16 = 2,
  MOE_BF16 = 3,
  MOE_F8_E4M3 = 4,
  MOE_F8_E5M2 = 5,
  MOE_I64 = 6,
  MOE_I32 = 7,
  MOE_I16 = 8,
  MOE_I8 = 9,
  MOE_U8 = 10,
  MOE_BOOL = 11
} moe_dtype;

/* Name as in the manifest: "f32", "bf16", ...; NULL for any other value. */
MOE_API const char *moe_dtype_name(moe_dtype dtype);

/* Bytes of one element; 0 for any other value. */
MOE_API size_t moe_dtype_size(moe_dtype dtype);

//===----------------------------------------------------------------------===//
// Models
//===----------------------------------------------------------------------===//

typedef struct moe_model moe_model;

/* Where the weights lie.
 *
 * Copies are the default because reading them is faster. On two threads of a
 * Xeon with its other cores busy, one OLMoE layer in f32 took 1.07 times as
 * long for 1 token and 1.04 times for 16 when its weights were mapped; a plain
 * read of 2 GiB took 1.2 times as long. A copy costs 0.15 to 0.3 s a GiB of
 * time to load, and memory of this process beside what the system caches of the
 * file, twice as much in all; processes that map the file share the cached
 * bytes. */
typedef enum moe_weights {
  MOE_WEIGHTS_COPY = 0, /* in memory of this process, in huge pages */
  MOE_WEIGHTS_MAP = 1   /* in the file, mapped */
} moe_weights;

/* Zero members are defaults. */
typedef struct moe_open_options {
  /* The ISA level to run, as "v3"; NULL chooses the best that this CPU has. */
  const char *isa;
  moe_weights weights;
} moe_open_options;

/* Opens the package in folder `path` and checks it: sizes and hashes of its
 * module and of its weights' header, every parameter, the CPU's features.
 * `options` may be NULL. The caller closes the model, after the model's states.
 */
MOE_API moe_status moe_model_open(const char *path,
                                  const moe_open_options *options,
                                  moe_model **model);

/* Closes a model; NULL is ignored. */
MOE_API void moe_model_close(moe_model *model);

/* What follows describes an opened model and belongs to it: pointers are valid
 * until the model is closed. Structures grow only at their end. */

typedef struct moe_model_info {
  const char *compiler; /* name and version */
  const char *compute;  /* type that products are computed in: "f32" */
  const char *isa;      /* the ISA level that runs: "v3" */
  /* The manifest's "model" as JSON text; "null" for a plain program, whose
   * fields below are 0 or NULL. */
  const char *json;
  int64_t vocab;         /* token ids are 0 .. vocab-1 */
  int64_t max_len;       /* longest sequence, in tokens */
  int64_t bos;           /* token that begins a sequence; -1 when none */
  size_t num_eos;        /* tokens that end a sequence */
  const int64_t *eos;    /* [num_eos] */
  const char *tokenizer; /* file in the package; NULL when none */
} moe_model_info;

MOE_API const moe_model_info *moe_model_describe(const moe_model *model);

/* One extent of a shape: `value`, or the value of `symbol` plus `value`, as in
 * "B+1". Within a function equal symbols are equal numbers. "slots" and
 * "max_len" are the state's; every other symbol is bound by the inputs. */
typedef struct moe_extent {
  const char *symbol; /* NULL for a constant */
  int64_t value;
} moe_extent;

typedef enum moe_kind {
  MOE_INPUT = 0,
  MOE_STATE = 1, /* a cache that the moe_state holds */
  MOE_OUTPUT = 2
} moe_kind;

typedef struct moe_argument {
  const char *name;
  moe_kind kind;
  moe_dtype dtype;
  size_t rank;
  const moe_extent *shape; /* [rank] */
} moe_argument;

typedef struct moe_function {
  const char *name;
  size_t num_inputs;
  size_t num_outputs;
  size_t num_arguments;          /* inputs, states and outputs */
  const moe_argument *arguments; /* [num_arguments]: outputs come last */
} moe_function;

MOE_API size_t moe_num_functions(const moe_model *model);

/* The function at `index`; NULL beyond the last. */
MOE_API const moe_function *moe_function_at(const moe_model *model,
                                            size_t index);

/* The function of that name; NULL when there is none. */
MOE_API const moe_function *moe_find_function(const moe_model *model,
                                              const char *name);

typedef struct moe_parameter {
  const char *name;
  moe_dtype dtype;
  size_t rank;
  const int64_t *shape; /* [rank], of the layout that the module reads */
  const void *data;     /* not to be written */
} moe_parameter;

MOE_API size_t moe_num_parameters(const moe_model *model);

/* The parameter at `index`; NULL beyond the last. */
MOE_API const moe_parameter *moe_parameter_at(const moe_model *model,
                                              size_t index);

//===----------------------------------------------------------------------===//
// States
//===----------------------------------------------------------------------===//

typedef struct moe_state moe_state;

/* Allocates all that calls on `model` will ever need: the state arguments of
 * every function, zeroed, for `slots` sequences of `max_len` tokens (arguments
 * of one name are one buffer), and the workspace for calls whose every symbol
 * is at most `max_tokens`, on `threads` threads. `threads` = 0 means one per
 * CPU that the process may use. `slots` and `max_len` may be 0 for functions
 * without state arguments. */
MOE_API moe_status moe_state_create(const moe_model *model, int64_t slots,
                                    int64_t max_len, int64_t max_tokens,
                                    int64_t threads, moe_state **state);

/* Bytes that the state holds: caches and workspace. */
MOE_API int64_t moe_state_bytes(const moe_state *state);

/* Destroys a state; NULL is ignored. */
MOE_API void moe_state_destroy(moe_state *state);

/* From now on, calls on `state` record when they and their stages begin and
 * end. The last `events` are kept, or somewhat more; what was recorded before
 * is forgotten. The package must have been compiled with the option trace=true.
 */
MOE_API moe_status moe_trace_start(moe_state *state, int64_t events);

/* Writes what has been recorded to the file `path`, in the JSON format that
 * chrome://tracing and ui.perfetto.dev open. Times are in microseconds since
 * moe_trace_start; "iteration" is that of the loop around a stage, as over
 * layers. */
MOE_API moe_status moe_trace_write(const moe_state *state, const char *path);

//===----------------------------------------------------------------------===//
// Calls. A call that succeeds allocates nothing on the heap.
//===----------------------------------------------------------------------===//

/* A contiguous, row-major array that the caller owns. `data` is aligned to the
 * element's size and may be NULL when there is no element. */
typedef struct moe_tensor {
  moe_dtype dtype;
  size_t rank;
  const int64_t *shape; /* [rank] */
  void *data;
} moe_tensor;

/* Writes to `shape` the extents of output number `output` for inputs of these
 * shapes. `shape` has room for that output's rank. Data is not read. */
MOE_API moe_status moe_output_shape(const moe_state *state,
                                    const moe_function *function,
                                    const moe_tensor *inputs, size_t num_inputs,
                                    size_t output, int64_t *shape);

/* Calls `function`, which belongs to the state's model. Inputs and outputs are
 * in the order of its arguments; all types and extents are checked, and an
 * output overlaps no other array. For the entries of a language model the
 * contents of the inputs are checked too, as in moe_forward and moe_encode. */
MOE_API moe_status moe_call(moe_state *state, const moe_function *function,
                            const moe_tensor *inputs, size_t num_inputs,
                            const moe_tensor *outputs, size_t num_outputs);

/* Calls the entry of a language model, the function "forward": `n` tokens of
 * `b` sequences, concatenated. Prompts, parts of prompts, single tokens and
 * mixtures of them are all the same call.
 *
 *   tokens [n]    ids, 0 <= id < vocab
 *   cu     [b+1]  sequence s owns rows cu[s] .. cu[s+1]-1; cu[0] = 0, cu[b] = n
 *   past   [b]    tokens already cached; past[s] + its rows <= max_len
 *   slot   [b]    where it is cached: 0 <= slot < slots, all different
 *   rows   [r]    rows whose logits are wanted, 0 <= row < n
 *   logits [r, vocab]  written
 */
MOE_API moe_status moe_forward(moe_state *state, int64_t n,
                               const int32_t *tokens, int64_t b,
                               const int32_t *cu, const int32_t *past,
                               const int32_t *slot, int64_t r,
                               const int32_t *rows, float *logits);

/* Calls the encoder of an encoder-decoder model, the function "encode": `n`
 * tokens of `b` sources, concatenated, each whole. What moe_forward then
 * continues in a slot is an answer to that slot's source; it begins with the
 * model's bos. A slot without a source has logits NaN.
 *
 *   tokens [n]    ids, 0 <= id < vocab
 *   cu     [b+1]  source s owns rows cu[s] .. cu[s+1]-1, at least one and at
 *                 most max_len; cu[0] = 0, cu[b] = n
 *   slot   [b]    where it is kept: 0 <= slot < slots, all different
 */
MOE_API moe_status moe_encode(moe_state *state, int64_t n,
                              const int32_t *tokens, int64_t b,
                              const int32_t *cu, const int32_t *slot);

#ifdef __cplusplus
}
#endif

#endif /* MOE_RUNTIME_MOE_H */

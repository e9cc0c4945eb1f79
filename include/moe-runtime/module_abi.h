//===- module_abi.h - What a compiled module exports ------------*- C -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The contract between the compiler, which emits these tables, and the
// runtime, which reads them. A module exports one symbol, moe_module_info;
// it has no global constructors and no mutable globals, so its entries may run
// concurrently, each call with its own workspace.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_RUNTIME_MODULE_ABI_H
#define MOE_RUNTIME_MODULE_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows whenever a structure below changes. */
#define MOE_MODULE_ABI 2

/* Alignment in bytes of every parameter and of the workspace. */
#define MOE_ALIGNMENT 64

/* One stage of a call, from `begin` to `end` on the CPU's counter: rdtsc, or
 * cntvct_el0 on AArch64. */
typedef struct moe_event {
  int64_t stage;     /* index into the manifest's "stages" */
  int64_t iteration; /* of the loop around the stage, as over layers, or -1 */
  uint64_t begin, end;
} moe_event;

/* Where a call records its stages: number i is events[i & mask]. */
typedef struct moe_trace {
  uint64_t count; /* of the events recorded so far */
  uint64_t mask;  /* events for which there is room, a power of two, less 1 */
  moe_event *events;
} moe_trace;

/* What one call needs besides its arguments. */
typedef struct moe_invocation {
  /* Address of each parameter, in manifest order. */
  const void *const *parameters;
  /* At least as many bytes as the entry's `workspace` answers. */
  void *workspace;
  /* Number of threads to run on, at least 1. */
  int64_t threads;
  /* Written by entries compiled with stages; NULL records nothing. */
  moe_trace *trace;
} moe_invocation;

/* One function, compiled for one ISA level.
 *
 * `descriptors` holds one pointer per argument, in the order of the manifest,
 * to a memref descriptor as MLIR lays it out:
 *   {void *allocated, *aligned; int64_t offset, sizes[rank], strides[rank];}
 * Every argument is contiguous, row-major, with offset 0. */
typedef struct moe_entry {
  const char *name;
  void (*invoke)(const moe_invocation *call, void *const *descriptors);
  /* Bytes of workspace that `invoke` needs for these sizes and threads. Reads
   * sizes only, so data pointers may be NULL; monotone in each size. */
  int64_t (*workspace)(const moe_invocation *call, void *const *descriptors);
} moe_entry;

/* All functions, compiled for one ISA level. */
typedef struct moe_level {
  const char *isa;      /* "v3", "v4", ... */
  const char *features; /* comma-separated LLVM names: "avx2,fma,..." */
  int64_t num_entries;
  const moe_entry *entries;
} moe_level;

typedef struct moe_module {
  int64_t abi;          /* MOE_MODULE_ABI */
  const char *compiler; /* name and version of the compiler */
  const char *build_id; /* the manifest's module.build_id */
  int64_t num_levels;
  const moe_level *levels; /* ascending: the last is the most capable */
} moe_module;

#ifdef __cplusplus
}
#endif

#endif /* MOE_RUNTIME_MODULE_ABI_H */

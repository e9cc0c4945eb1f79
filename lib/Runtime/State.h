//===- State.h - Caches and workspace of calls ---------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_RUNTIME_STATE_H
#define MOE_LIB_RUNTIME_STATE_H

#include "Runtime/Memory.h"
#include "Runtime/Model.h"
#include "Runtime/Trace.h"

namespace moe::runtime {

/// How large calls on a state may be.
struct StateLimits {
  int64_t slots;     ///< sequences that are cached
  int64_t maxLen;    ///< tokens of a sequence
  int64_t maxTokens; ///< bound of every free symbol
  int64_t threads;
};

/// All memory that calls on a model write, but for their outputs.
class State {
public:
  static Expected<std::unique_ptr<State>> create(const Model &model,
                                                 const StateLimits &limits);

  const Model &model() const { return parent; }
  const StateLimits &limits() const { return bounds; }
  int64_t bytes() const { return size; }
  void *workspace() const { return at(workspaceOffset); }

  /// The buffer of a state argument.
  void *cache(size_t function, size_t argument) const {
    return at(cacheOffsets[function][argument]);
  }

  /// Forgets what has been recorded and records what follows.
  std::optional<Error> startTrace(int64_t events);

  /// What calls record; null if they do not.
  Trace *trace() const { return traceOfCalls.get(); }

  /// One flag per slot, for the checks of a call.
  std::vector<bool> &slotFlags() { return flags; }

private:
  State(const Model &model, const StateLimits &limits)
      : parent(model), bounds(limits), flags(limits.slots) {}

  std::optional<Error> layOutCaches();
  std::optional<Error> layOutWorkspace();

  /// Appends `bytes` aligned bytes to the layout and answers their offset.
  Expected<int64_t> append(int64_t bytes);

  void *at(int64_t offset) const {
    return memory ? memory->data() + offset : nullptr;
  }

  const Model &parent;
  StateLimits bounds;
  std::vector<bool> flags;
  /// Offset of each argument that is a state; of no meaning for others.
  std::vector<std::vector<int64_t>> cacheOffsets;
  int64_t workspaceOffset = 0;
  int64_t size = 0;
  std::optional<Memory> memory; ///< nothing if no byte is needed
  std::unique_ptr<Trace> traceOfCalls;
};

} // namespace moe::runtime

#endif // MOE_LIB_RUNTIME_STATE_H

//===- Forward.cpp - Checks of a language model's inputs ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/Call.h"

using namespace moe::runtime;

template <typename... Parts>
static Error badInput(const Parts &...parts) {
  return invalidArgument("forward: ", parts...);
}

/// Checks that `count` indices are from 0 up to but not including `end`.
static std::optional<Error> checkRange(const char *name, const int32_t *indices,
                                       int64_t count, int64_t end) {
  for (int64_t i = 0; i < count; ++i)
    if (indices[i] < 0 || indices[i] >= end)
      return badInput(name, "[", i, "]: expected an index from 0 below ", end,
                      ", got ", indices[i]);
  return std::nullopt;
}

std::optional<Error> moe::runtime::checkForward(State &state,
                                                const moe_tensor *inputs) {
  auto data = [&](size_t i) {
    return static_cast<const int32_t *>(inputs[i].data);
  };
  const int32_t *tokens = data(0), *cu = data(1), *past = data(2),
                *slot = data(3), *rows = data(4);
  int64_t numTokens = inputs[0].shape[0];
  int64_t numSequences = inputs[2].shape[0];
  int64_t numRows = inputs[4].shape[0];
  const StateLimits &limits = state.limits();

  if (auto error = checkRange("tokens", tokens, numTokens,
                              state.model().manifest().model.vocab))
    return error;
  if (auto error = checkRange("rows", rows, numRows, numTokens))
    return error;
  if (auto error = checkRange("slot", slot, numSequences, limits.slots))
    return error;

  if (cu[0] != 0)
    return badInput("cu[0]: expected 0, got ", cu[0]);
  if (cu[numSequences] != numTokens)
    return badInput("cu[", numSequences, "]: expected ", numTokens,
                    ", the number of tokens, got ", cu[numSequences]);
  std::vector<bool> &taken = state.slotFlags();
  taken.assign(taken.size(), false);
  for (int64_t i = 0; i < numSequences; ++i) {
    if (cu[i + 1] < cu[i])
      return badInput("cu[", i + 1, "]: expected at least ", cu[i], ", got ",
                      cu[i + 1]);
    if (past[i] < 0)
      return badInput("past[", i, "]: expected at least 0, got ", past[i]);
    if (int64_t length = int64_t(past[i]) + cu[i + 1] - cu[i];
        length > limits.maxLen)
      return badInput("sequence ", i, ": expected at most ", limits.maxLen,
                      " tokens (max_len), got ", length);
    if (taken[slot[i]])
      return badInput("slot[", i, "]: expected a slot of its own, got ",
                      slot[i], " again");
    taken[slot[i]] = true;
  }
  return std::nullopt;
}

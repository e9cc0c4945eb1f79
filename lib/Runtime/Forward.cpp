//===- Forward.cpp - Checks of a language model's inputs ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/Call.h"

using namespace moe::runtime;

namespace {

/// The inputs of an entry that say which tokens belong to which sequence.
struct Sequences {
  const char *entry;
  int64_t numTokens, count;
  const int32_t *tokens, *cu, *slot;
  const int32_t *past; ///< null if nothing is cached
};

} // namespace

static const int32_t *indices(const moe_tensor &input) {
  return static_cast<const int32_t *>(input.data);
}

/// Checks that `count` indices are from 0 up to but not including `end`.
static std::optional<Error> checkRange(const char *entry, const char *name,
                                       const int32_t *indices, int64_t count,
                                       int64_t end) {
  for (int64_t i = 0; i < count; ++i)
    if (indices[i] < 0 || indices[i] >= end)
      return invalidArgument(entry, ": ", name, "[", i,
                             "]: expected an index from 0 below ", end,
                             ", got ", indices[i]);
  return std::nullopt;
}

static std::optional<Error> checkSequences(State &state,
                                           const Sequences &given) {
  auto badInput = [&](const auto &...parts) {
    return invalidArgument(given.entry, ": ", parts...);
  };
  const int32_t *cu = given.cu, *past = given.past, *slot = given.slot;
  const StateLimits &limits = state.limits();
  if (auto error =
          checkRange(given.entry, "tokens", given.tokens, given.numTokens,
                     state.model().manifest().model.vocab))
    return error;
  if (auto error =
          checkRange(given.entry, "slot", slot, given.count, limits.slots))
    return error;

  if (cu[0] != 0)
    return badInput("cu[0]: expected 0, got ", cu[0]);
  if (cu[given.count] != given.numTokens)
    return badInput("cu[", given.count, "]: expected ", given.numTokens,
                    ", the number of tokens, got ", cu[given.count]);
  std::vector<bool> &taken = state.slotFlags();
  taken.assign(taken.size(), false);
  for (int64_t i = 0; i < given.count; ++i) {
    if (cu[i + 1] < cu[i])
      return badInput("cu[", i + 1, "]: expected at least ", cu[i], ", got ",
                      cu[i + 1]);
    if (past && past[i] < 0)
      return badInput("past[", i, "]: expected at least 0, got ", past[i]);
    if (int64_t length = (past ? int64_t(past[i]) : 0) + cu[i + 1] - cu[i];
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

std::optional<Error> moe::runtime::checkForward(State &state,
                                                const moe_tensor *inputs) {
  int64_t numTokens = inputs[0].shape[0];
  if (auto error = checkRange("forward", "rows", indices(inputs[4]),
                              inputs[4].shape[0], numTokens))
    return error;
  return checkSequences(state, {"forward", numTokens, inputs[3].shape[0],
                                indices(inputs[0]), indices(inputs[1]),
                                indices(inputs[3]), indices(inputs[2])});
}

std::optional<Error> moe::runtime::checkEncode(State &state,
                                               const moe_tensor *inputs) {
  Sequences given{"encode",           inputs[0].shape[0], inputs[2].shape[0],
                  indices(inputs[0]), indices(inputs[1]), indices(inputs[2]),
                  /*past=*/nullptr};
  if (auto error = checkSequences(state, given))
    return error;
  for (int64_t i = 0; i < given.count; ++i)
    if (given.cu[i + 1] == given.cu[i])
      return invalidArgument("encode: sequence ", i,
                             ": expected at least 1 token, got 0");
  return std::nullopt;
}

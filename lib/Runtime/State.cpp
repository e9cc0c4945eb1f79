//===- State.cpp - Caches and workspace of calls --------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/State.h"
#include "Runtime/Call.h"
#include "Runtime/CpuFeatures.h"
#include "Runtime/DType.h"

#include <map>

using namespace moe::runtime;

static std::optional<Error> checkLimits(const StateLimits &limits,
                                        const Model &model) {
  // Indices are i32.
  auto check = [](const char *name, int64_t value, int64_t least,
                  int64_t most) -> std::optional<Error> {
    if (value >= least && value <= most)
      return std::nullopt;
    return invalidArgument(name, ": expected a number from ", least, " to ",
                           most, ", got ", value);
  };
  int64_t modelMaxLen = model.manifest().model.maxLen;
  if (auto error = check("slots", limits.slots, 0, INT32_MAX))
    return error;
  if (auto error = check("max_len", limits.maxLen, 0,
                         modelMaxLen > 0 ? modelMaxLen : INT32_MAX))
    return error;
  if (auto error = check("max_tokens", limits.maxTokens, 0, INT32_MAX))
    return error;
  return check("threads", limits.threads, 1, MOE_MAX_THREADS);
}

Expected<std::unique_ptr<State>> State::create(const Model &model,
                                               const StateLimits &limits) {
  StateLimits bounds = limits;
  if (bounds.threads == 0)
    bounds.threads = availableCpus();
  if (auto error = checkLimits(bounds, model))
    return *std::move(error);
  std::unique_ptr<State> state(new State(model, bounds));
  if (auto error = state->layOutCaches())
    return *std::move(error);
  if (auto error = state->layOutWorkspace())
    return *std::move(error);
  if (state->size == 0)
    return state;
  state->memory = Memory::allocate(state->size);
  if (!state->memory)
    return makeError(MOE_OUT_OF_MEMORY, "state: expected ", state->size,
                     " bytes of memory");
  return state;
}

std::optional<Error> State::startTrace(int64_t events) {
  auto started = Trace::start(parent.manifest(), events);
  if (!started)
    return started.error();
  traceOfCalls = std::move(*started);
  return std::nullopt;
}

Expected<int64_t> State::append(int64_t bytes) {
  int64_t offset = size;
  if (__builtin_add_overflow(size, bytes, &size) ||
      __builtin_add_overflow(size, MOE_ALIGNMENT - 1, &size))
    return makeError(MOE_OUT_OF_MEMORY, "state: expected less than 2^63 bytes");
  size -= size % MOE_ALIGNMENT;
  return offset;
}

std::optional<Error> State::layOutCaches() {
  struct Cache {
    moe_dtype dtype;
    std::vector<int64_t> shape;
    int64_t offset;
  };
  std::map<std::string_view, Cache> caches;
  for (const Function &function : parent.manifest().functions) {
    Bindings bindings(function, bounds);
    std::vector<int64_t> &offsets = cacheOffsets.emplace_back();
    for (const Argument &argument : function.arguments) {
      offsets.push_back(0);
      if (argument.kind != MOE_STATE)
        continue;
      std::vector<int64_t> shape;
      for (const Extent &extent : argument.shape)
        shape.push_back(bindings.value(extent));
      auto [it, isNew] =
          caches.try_emplace(argument.name, Cache{argument.dtype, shape, 0});
      if (isNew) {
        auto bytes = arrayBytes(argument.dtype, shape.data(), shape.size());
        auto offset = append(bytes.value_or(INT64_MAX));
        if (!offset)
          return offset.error();
        it->second.offset = *offset;
      } else if (it->second.dtype != argument.dtype ||
                 it->second.shape != shape) {
        return invalidPackage("function '", function.name, "': state '",
                              argument.name,
                              "': expected the type and shape that it has in "
                              "other functions");
      }
      offsets.back() = it->second.offset;
    }
  }
  return std::nullopt;
}

std::optional<Error> State::layOutWorkspace() {
  int64_t most = 0;
  for (size_t i = 0; i < parent.manifest().functions.size(); ++i) {
    const Function &function = parent.manifest().functions[i];
    Bindings bindings(function, bounds);
    bindings.bindFreeToLargest();
    Frame frame;
    for (const Argument &argument : function.arguments)
      if (auto error = frame.add(argument, bindings, nullptr))
        return error;
    moe_invocation invocation{parent.parameterAddresses(),
                              /*workspace=*/nullptr, bounds.threads,
                              /*trace=*/nullptr};
    most = std::max(
        most, parent.entry(i).workspace(&invocation, frame.descriptors()));
  }
  auto offset = append(most);
  if (!offset)
    return offset.error();
  workspaceOffset = *offset;
  return std::nullopt;
}

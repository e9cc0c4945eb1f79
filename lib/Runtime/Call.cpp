//===- Call.cpp - Checked calls of a module's entries ---------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/Call.h"
#include "Runtime/DType.h"

using namespace moe::runtime;

/// A symbol without a value.
static constexpr int64_t kUnbound = -1;

template <typename... Parts>
static Error badArgument(const Function &function, const Argument &argument,
                         const Parts &...parts) {
  const char *kind = argument.kind == MOE_INPUT ? "input" : "output";
  return invalidArgument("function '", function.name, "': ", kind, " '",
                         argument.name, "': ", parts...);
}

/// Checks the type and rank of the caller's array.
static std::optional<Error> checkType(const Function &function,
                                      const Argument &argument,
                                      const moe_tensor &tensor) {
  if (tensor.dtype != argument.dtype) {
    const DType *got = describe(tensor.dtype);
    return badArgument(function, argument, "expected type ",
                       describe(argument.dtype)->name, ", got ",
                       got ? got->name : "an unknown one");
  }
  if (tensor.rank != argument.shape.size())
    return badArgument(function, argument, "expected rank ",
                       argument.shape.size(), ", got ", tensor.rank);
  if (!tensor.shape && tensor.rank != 0)
    return badArgument(function, argument, "expected a shape, got NULL");
  return std::nullopt;
}

/// Checks the address of the caller's array, whose shape has been checked.
static std::optional<Error> checkData(const Function &function,
                                      const Argument &argument,
                                      const moe_tensor &tensor) {
  if (!tensor.data && *arrayBytes(tensor.dtype, tensor.shape, tensor.rank) != 0)
    return badArgument(function, argument, "expected data, got NULL");
  if (reinterpret_cast<uintptr_t>(tensor.data) %
          describe(tensor.dtype)->bytes !=
      0)
    return badArgument(function, argument,
                       "expected data aligned to the size of an element");
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Bindings
//===----------------------------------------------------------------------===//

Bindings::Bindings(const Function &function, const StateLimits &limits)
    : function(function), maxTokens(limits.maxTokens) {
  values.fill(kUnbound);
  values[Function::kSlots] = limits.slots;
  values[Function::kMaxLen] = limits.maxLen;
}

void Bindings::bindFreeToLargest() {
  for (size_t i = Function::kFirstFree; i < values.size(); ++i)
    values[i] = maxTokens;
}

std::optional<Error> Bindings::bind(const Argument &input,
                                    const moe_tensor &tensor) {
  if (auto error = checkType(function, input, tensor))
    return error;
  for (size_t i = 0; i < tensor.rank; ++i) {
    const Extent &extent = input.shape[i];
    int64_t actual = tensor.shape[i];
    if (extent.symbol >= 0 && values[extent.symbol] == kUnbound) {
      const std::string &symbol = function.symbols[extent.symbol];
      if (actual < extent.value || actual - extent.value > maxTokens)
        return badArgument(function, input, "expected an extent from ",
                           extent.value, " to ", maxTokens + extent.value,
                           " in dimension ", i, " (", symbol,
                           " is at most max_tokens), got ", actual);
      values[extent.symbol] = actual - extent.value;
    }
    if (actual != value(extent))
      return badArgument(function, input, "expected extent ", value(extent),
                         " in dimension ", i, ", got ", actual);
  }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Frame
//===----------------------------------------------------------------------===//

std::optional<Error> Frame::add(const Argument &argument,
                                const Bindings &bindings, void *data) {
  size_t rank = argument.shape.size();
  Descriptor &descriptor = storage[count];
  pointers[count++] = &descriptor;
  descriptor.allocated = descriptor.aligned = data;
  descriptor.offset = 0;
  int64_t *sizes = descriptor.sizesAndStrides;
  int64_t *strides = sizes + rank;
  for (size_t i = 0; i < rank; ++i)
    sizes[i] = bindings.value(argument.shape[i]);
  if (!arrayBytes(argument.dtype, sizes, rank))
    return makeError(MOE_OUT_OF_MEMORY, "argument '", argument.name,
                     "': expected less than 2^63 bytes");
  int64_t stride = 1;
  for (size_t i = rank; i-- > 0;) {
    strides[i] = stride;
    stride *= sizes[i];
  }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

static std::optional<Error> checkCount(const Function &function,
                                       const char *what, size_t expected,
                                       Tensors tensors) {
  if (tensors.count == expected && (tensors.data || expected == 0))
    return std::nullopt;
  return invalidArgument("function '", function.name, "': expected ", expected,
                         " ", what, ", got ", tensors.data ? tensors.count : 0);
}

std::optional<Error> moe::runtime::call(State &state, size_t index,
                                        Tensors inputs, Tensors outputs) {
  const Model &model = state.model();
  const Function &function = model.manifest().functions[index];
  if (auto error =
          checkCount(function, "inputs", function.count(MOE_INPUT), inputs))
    return error;
  if (auto error =
          checkCount(function, "outputs", function.count(MOE_OUTPUT), outputs))
    return error;

  Bindings bindings(function, state.limits());
  Frame frame;
  const moe_tensor *input = inputs.data, *output = outputs.data;
  for (size_t i = 0; i < function.arguments.size(); ++i) {
    const Argument &argument = function.arguments[i];
    void *data = nullptr;
    switch (argument.kind) {
    case MOE_INPUT:
      if (auto error = bindings.bind(argument, *input))
        return error;
      if (auto error = checkData(function, argument, *input))
        return error;
      data = input++->data;
      break;
    case MOE_STATE:
      data = state.cache(index, i);
      break;
    case MOE_OUTPUT:
      // Inputs come first, so that every symbol is bound by now.
      if (auto error = bindings.bind(argument, *output))
        return error;
      if (auto error = checkData(function, argument, *output))
        return error;
      data = output++->data;
      break;
    }
    if (auto error = frame.add(argument, bindings, data))
      return error;
  }
  if (model.forward() == index)
    if (auto error = checkForward(state, inputs.data))
      return error;
  if (model.encode() == index)
    if (auto error = checkEncode(state, inputs.data))
      return error;

  auto invoke = [&](moe_trace *trace) {
    moe_invocation invocation{model.parameterAddresses(), state.workspace(),
                              state.limits().threads, trace};
    model.entry(index).invoke(&invocation, frame.descriptors());
  };
  if (Trace *trace = state.trace())
    trace->recordCall(index, invoke);
  else
    invoke(nullptr);
  return std::nullopt;
}

std::optional<Error> moe::runtime::outputShape(const State &state, size_t index,
                                               Tensors inputs, size_t output,
                                               int64_t *shape) {
  const Function &function = state.model().manifest().functions[index];
  size_t numOutputs = function.count(MOE_OUTPUT);
  if (output >= numOutputs)
    return invalidArgument("function '", function.name,
                           "': expected an output below ", numOutputs, ", got ",
                           output);
  if (auto error =
          checkCount(function, "inputs", function.count(MOE_INPUT), inputs))
    return error;
  Bindings bindings(function, state.limits());
  const moe_tensor *input = inputs.data;
  for (const Argument &argument : function.arguments)
    if (argument.kind == MOE_INPUT)
      if (auto error = bindings.bind(argument, *input++))
        return error;
  size_t first = function.arguments.size() - numOutputs;
  for (const Extent &extent : function.arguments[first + output].shape)
    *shape++ = bindings.value(extent);
  return std::nullopt;
}

//===- Call.h - Checked calls of a module's entries ----------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Everything here lives on the stack: a call that succeeds allocates nothing.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_RUNTIME_CALL_H
#define MOE_LIB_RUNTIME_CALL_H

#include "Runtime/State.h"

#include <array>

namespace moe::runtime {

/// The values of a function's symbols in one call.
class Bindings {
public:
  /// Binds `slots` and `max_len`; all other symbols are free.
  Bindings(const Function &function, const StateLimits &limits);

  /// Checks the type and shape of an input and binds the symbols in it.
  std::optional<Error> bind(const Argument &input, const moe_tensor &tensor);

  /// Binds every free symbol to the most that the state allows.
  void bindFreeToLargest();

  /// The value of an extent whose symbol is bound.
  int64_t value(const Extent &extent) const {
    return extent.symbol < 0 ? extent.value
                             : values[extent.symbol] + extent.value;
  }

private:
  const Function &function;
  int64_t maxTokens;
  std::array<int64_t, MOE_MAX_SYMBOLS> values;
};

/// The memref descriptors of one call's arguments.
class Frame {
public:
  /// Adds the next argument, contiguous at `data`. Fails if it is larger than
  /// any memory.
  std::optional<Error> add(const Argument &argument, const Bindings &bindings,
                           void *data);

  void *const *descriptors() const { return pointers.data(); }

private:
  struct Descriptor {
    void *allocated;
    void *aligned;
    int64_t offset;
    int64_t sizesAndStrides[2 * MOE_MAX_RANK]; // Ranks below use its start.
  };

  size_t count = 0;
  std::array<Descriptor, MOE_MAX_ARGUMENTS> storage;
  std::array<void *, MOE_MAX_ARGUMENTS> pointers;
};

/// The caller's arrays for one call.
struct Tensors {
  const moe_tensor *data;
  size_t count;
};

/// Calls a function of the state's model, see moe_call.
std::optional<Error> call(State &state, size_t function, Tensors inputs,
                          Tensors outputs);

/// Writes the shape of an output to `shape`, see moe_output_shape.
std::optional<Error> outputShape(const State &state, size_t function,
                                 Tensors inputs, size_t output, int64_t *shape);

/// Checks what is in the inputs of a language model's entry, see moe_forward.
/// Their types and shapes have been checked.
std::optional<Error> checkForward(State &state, const moe_tensor *inputs);

/// The same for its encoder, see moe_encode.
std::optional<Error> checkEncode(State &state, const moe_tensor *inputs);

} // namespace moe::runtime

#endif // MOE_LIB_RUNTIME_CALL_H

//===- Package.h - An opened package, owned ------------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_TOOLS_MOE_RUN_PACKAGE_H
#define MOE_TOOLS_MOE_RUN_PACKAGE_H

#include "Failure.h"
#include "Options.h"
#include "moe-runtime/moe.h"

#include <memory>

namespace moe::run {

struct Destroy {
  void operator()(moe_model *model) const { moe_model_close(model); }
  void operator()(moe_state *state) const { moe_state_destroy(state); }
};
using Model = std::unique_ptr<moe_model, Destroy>;
using State = std::unique_ptr<moe_state, Destroy>;

/// Fails with the runtime's message unless `status` is MOE_OK.
inline void check(moe_status status) {
  if (status != MOE_OK)
    fail(moe_error());
}

/// Starts the trace that the options ask for, if any.
inline void startTrace(const State &state, const Options &options) {
  constexpr int64_t kEvents = 1 << 20;
  if (options.trace)
    check(moe_trace_start(state.get(), kEvents));
}

/// Writes it.
inline void writeTrace(const State &state, const Options &options) {
  if (options.trace)
    check(moe_trace_write(state.get(), options.trace->c_str()));
}

/// Prints the functions of the package, with the types of their arguments.
void listFunctions(const moe_model *model);

/// Generates greedily and prints the ids of the new tokens.
void generate(const moe_model *model, const Options &options);

/// Calls one function on arrays from files.
void callFunction(const moe_model *model, const Options &options);

} // namespace moe::run

#endif // MOE_TOOLS_MOE_RUN_PACKAGE_H

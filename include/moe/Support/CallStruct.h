//===- CallStruct.h - The call that an entry serves, in IR ------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// How passes read `moe_invocation` of moe-runtime/module_abi.h, whose address
// is the first argument of an entry after `--moe-lower-call`.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_SUPPORT_CALLSTRUCT_H
#define MOE_SUPPORT_CALLSTRUCT_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::moe {

/// The members of `moe_invocation`, in order; each is 8 bytes wide.
enum class CallField : int32_t { Parameters, Workspace, Threads, Trace };

/// Reads a member of the call: a pointer, or an i64 for `Threads`.
Value loadCallField(ImplicitLocOpBuilder &b, Value call, CallField field);

/// A memref of identity layout at `pointer`. Dynamic extents read as 0: whoever
/// uses the memref must not ask for them.
Value memrefAt(ImplicitLocOpBuilder &b, MemRefType type, Value pointer);

} // namespace mlir::moe

#endif // MOE_SUPPORT_CALLSTRUCT_H

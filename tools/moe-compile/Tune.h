//===- Tune.h - Chooses how work is cut by measuring ------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_COMPILE_TUNE_H
#define MOE_COMPILE_TUNE_H

#include "moe/Pipelines/Pipelines.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

namespace mlir::moe {

/// Measures this machine, and on it alternatives to what the model of the
/// target chooses for the heaviest product of each kernel that a module in the
/// form *fused* needs, in about so many seconds. Tells on stderr how it goes.
/// Answers the text of a file as in TargetFile.h.
llvm::Expected<std::string> tune(ModuleOp fused, const CompileOptions &options,
                                 double seconds);

} // namespace mlir::moe

#endif // MOE_COMPILE_TUNE_H

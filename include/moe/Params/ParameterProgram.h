//===- ParameterProgram.h - Makes a package's weights -----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The parameter program of a module is what its `moe.parameter` ops say: which
// tensors of a checkpoint are stacked, and how they are packed. It is executed
// once, when the package is written, and its result is an archive that modules
// read in place.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_PARAMS_PARAMETERPROGRAM_H
#define MOE_PARAMS_PARAMETERPROGRAM_H

#include "moe/Params/Quantize.h"

#include "mlir/IR/BuiltinOps.h"

namespace mlir::moe {

/// The parameters that code reads, in the order of the ABI. Emits an error when
/// the list does not name parameters.
FailureOr<SmallVector<ParameterOp>> getParameterTable(ModuleOp module);

/// An archive that was written.
struct WeightsFile {
  uint64_t bytes;
  /// The hash of what precedes the data.
  std::string headerHash;
  /// Of each parameter in the table from what it was made from.
  std::vector<Deviation> deviations;
};

/// Reads the checkpoint in a folder and writes the archive with the parameters
/// of the table to `path`. A few panels are in memory at a time. Emits an error
/// on the parameter that cannot be made, and a remark with the error of one
/// that is rounded; of a model that is marked `complete`, it is an error if the
/// checkpoint has tensors that no parameter reads.
FailureOr<WeightsFile> runParameterProgram(ModuleOp module,
                                           llvm::StringRef checkpoint,
                                           llvm::StringRef path);

} // namespace mlir::moe

#endif // MOE_PARAMS_PARAMETERPROGRAM_H

//===- TargetFile.h - Targets in files --------------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A file of `moe-compile --tune`:
//
//   {"machine": {"L1_cache_size_in_bytes": 49152, ...},
//    "kernels": {"amx bf16*bf16": {"block_k": 256, ...}, ...},
//    "measured": ...}
//
// with the members of Target.h; what is left out is as by default. "measured"
// tells people how the kernels' choices were found; nothing reads it.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_COMPILE_TARGETFILE_H
#define MOE_COMPILE_TARGETFILE_H

#include "moe/CPU/Target.h"

#include "llvm/Support/JSON.h"

namespace mlir::moe {

/// Reads a file; emits an error that names it if it describes no target.
FailureOr<Target> readTarget(StringRef path, MLIRContext *context);

/// The text of a file.
std::string printTarget(const Target &target, llvm::json::Value measured);

} // namespace mlir::moe

#endif // MOE_COMPILE_TARGETFILE_H

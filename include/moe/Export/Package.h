//===- Package.h - Writes package folders -----------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_EXPORT_PACKAGE_H
#define MOE_EXPORT_PACKAGE_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Support/Timing.h"

namespace mlir::moe {

struct PackageOptions {
  /// The package's folder. A package that is there is replaced.
  std::string path;
  /// The checkpoint's folder; empty for a package without weights.
  std::string checkpoint;
  /// Files whose hashes are recorded.
  std::vector<std::string> sources;
  /// Files that are copied into the package.
  std::vector<std::string> copies;
};

/// Makes a package from a module in the target form. The folder appears when it
/// is complete, or not at all. Emits errors; `timing` gets a child per phase.
LogicalResult writePackage(ModuleOp module, const PackageOptions &options,
                           TimingScope &timing);

} // namespace mlir::moe

#endif // MOE_EXPORT_PACKAGE_H

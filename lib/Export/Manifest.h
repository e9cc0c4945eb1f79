//===- Manifest.h - What a package says of itself ---------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_EXPORT_MANIFEST_H
#define MOE_LIB_EXPORT_MANIFEST_H

#include "moe/Export/ModuleInterface.h"
#include "moe/Params/Quantize.h"

#include "llvm/Support/Error.h"

namespace mlir::moe {

/// A file of the package, or one that the package was made from.
struct FileRecord {
  std::string file; ///< without a folder
  uint64_t bytes;
  std::string hash;
};

/// What a manifest contains besides the module's interface.
struct PackageContents {
  FileRecord module;
  std::string buildId;
  /// Its hash is that of its header; none when the package has no weights.
  std::optional<FileRecord> weights;
  /// Of each parameter in the weights from what it was made from.
  std::vector<Deviation> deviations;
  SmallVector<FileRecord> sources;
};

/// Makes the text of manifest.json. It is an error if the model's attribute has
/// a value that JSON has not.
llvm::Expected<std::string> makeManifest(const ModuleInterface &interface,
                                         const PackageContents &contents);

} // namespace mlir::moe

#endif // MOE_LIB_EXPORT_MANIFEST_H

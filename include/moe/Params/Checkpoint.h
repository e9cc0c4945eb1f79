//===- Checkpoint.h - The tensors of a checkpoint folder --------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_PARAMS_CHECKPOINT_H
#define MOE_PARAMS_CHECKPOINT_H

#include "Runtime/SafeTensors.h"

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"

namespace mlir::moe {

/// The tensors of `model.safetensors`, or of the shards that
/// `model.safetensors.index.json` lists, mapped read-only.
class Checkpoint {
public:
  static llvm::Expected<Checkpoint> open(llvm::StringRef folder);

  /// The bytes of a tensor, which must have this type; i8 stands for U8. Errors
  /// name the file and the tensor.
  llvm::Expected<llvm::StringRef> read(llvm::StringRef name,
                                       RankedTensorType type);

  /// An error that names tensors that were never read, if there are any.
  llvm::Error checkAllRead() const;

private:
  struct Tensor {
    const ::moe::runtime::ArchiveTensor *contents;
    std::string file;
    bool isRead = false;
  };

  explicit Checkpoint(llvm::StringRef folder) : folder(folder) {}

  /// Adds the tensors of one file.
  llvm::Error add(llvm::StringRef file);

  std::string folder;
  std::vector<::moe::runtime::SafeTensors> archives;
  llvm::StringMap<Tensor> tensors;
};

} // namespace mlir::moe

#endif // MOE_PARAMS_CHECKPOINT_H

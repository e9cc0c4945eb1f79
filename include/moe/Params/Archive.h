//===- Archive.h - Writer of weights archives -------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An archive is a safetensors file whose data can be used in place once it is
// mapped: the data starts at a page and each tensor at a multiple of 64 bytes.
// The format allows no holes between tensors, so a tensor whose size is no such
// multiple, or whose layout is not row-major, is stored as padded bytes (U8),
// and the archive's metadata describe its logical type.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_PARAMS_ARCHIVE_H
#define MOE_PARAMS_ARCHIVE_H

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/FileSystem.h"

namespace mlir::moe {

/// One tensor of an archive that is to be written.
struct ArchiveEntry {
  llvm::StringRef name;
  /// The type that the reader of the archive sees.
  RankedTensorType type;
  /// How the elements are laid out; empty when they are row-major.
  std::string layout;
};

/// The name of an element type in manifests and metadata: "bf16".
std::string getDTypeName(Type elementType);

/// Bytes of a contiguous array of this static type.
uint64_t getNumBytes(RankedTensorType type);

/// Writes an archive piece by piece, in any order, beside its final path.
class ArchiveWriter {
public:
  /// Lays out the entries, in their order, and writes the header.
  static llvm::Expected<ArchiveWriter> create(llvm::StringRef path,
                                              ArrayRef<ArchiveEntry> entries);

  ArchiveWriter(ArchiveWriter &&) = default;

  /// Removes what was written, unless it was committed.
  ~ArchiveWriter();

  /// Writes `bytes` at `offset` within the data of an entry. May be called from
  /// several threads.
  llvm::Error write(size_t entry, uint64_t offset, llvm::StringRef bytes) const;

  /// Gives the complete archive its final name.
  llvm::Error commit();

  /// Size of the whole file, in bytes.
  uint64_t getSize() const { return size; }

  /// All that precedes the data: the header's length and its JSON.
  llvm::StringRef getHeader() const { return header; }

private:
  ArchiveWriter(llvm::StringRef path, ArrayRef<ArchiveEntry> entries);

  llvm::Error writeAt(uint64_t offset, llvm::StringRef bytes) const;

  std::string path;
  std::string header;
  /// Where the data of each entry starts in the file.
  SmallVector<uint64_t> offsets;
  uint64_t size;
  std::optional<llvm::sys::fs::TempFile> file;
};

} // namespace mlir::moe

#endif // MOE_PARAMS_ARCHIVE_H

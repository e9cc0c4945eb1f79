//===- SafeTensors.h - Reader of safetensors archives --------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An archive is a little-endian uint64 N, N bytes of JSON that name each tensor
// with its type, shape and range of bytes, and the data. Everything that the
// header says is checked before any of it is used.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_RUNTIME_SAFETENSORS_H
#define MOE_LIB_RUNTIME_SAFETENSORS_H

#include "Runtime/MappedFile.h"

#include <cstdint>
#include <vector>

namespace moe::runtime {

struct ArchiveTensor {
  std::string name;
  moe_dtype dtype;
  std::vector<int64_t> shape;
  std::string_view data;
};

/// A parsed header. Tensors are in the order of their data.
struct ArchiveHeader {
  /// The length and the JSON: what precedes the data.
  std::string_view bytes;
  std::vector<ArchiveTensor> tensors;
};

/// Parses the header of an archive, of which `bytes` is the whole. Refuses a
/// length beyond the file or above 100 MB, invalid JSON, a name twice, an
/// unknown type, a shape that does not match its range, and ranges that
/// overlap, leave holes or leave the file. `where` names the archive in
/// messages.
Expected<ArchiveHeader> parseArchive(std::string_view bytes,
                                     const std::string &where);

/// An archive on disk, mapped read-only.
class SafeTensors {
public:
  static Expected<SafeTensors> open(const std::string &path);

  const std::vector<ArchiveTensor> &tensors() const { return header.tensors; }

  /// The length and the JSON of the header.
  std::string_view headerBytes() const { return header.bytes; }

  /// Size of the whole file, in bytes.
  int64_t size() const { return file.bytes().size(); }

private:
  SafeTensors(MappedFile file, ArchiveHeader header)
      : file(std::move(file)), header(std::move(header)) {}

  MappedFile file;
  ArchiveHeader header;
};

} // namespace moe::runtime

#endif // MOE_LIB_RUNTIME_SAFETENSORS_H

//===- MappedFile.h - A file mapped read-only ----------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_RUNTIME_MAPPEDFILE_H
#define MOE_LIB_RUNTIME_MAPPEDFILE_H

#include "Runtime/Error.h"

#include <string>
#include <string_view>

namespace moe::runtime {

/// The bytes of a regular file, mapped read-only and shared. The mapping starts
/// at a page, so that offsets in the file keep their alignment in memory.
class MappedFile {
public:
  static Expected<MappedFile> open(const std::string &path);

  MappedFile(MappedFile &&other) noexcept
      : contents(std::exchange(other.contents, {})) {}
  MappedFile &operator=(MappedFile &&other) noexcept {
    std::swap(contents, other.contents);
    return *this;
  }
  ~MappedFile();

  std::string_view bytes() const { return contents; }

private:
  explicit MappedFile(std::string_view contents) : contents(contents) {}

  std::string_view contents;
};

} // namespace moe::runtime

#endif // MOE_LIB_RUNTIME_MAPPEDFILE_H

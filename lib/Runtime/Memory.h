//===- Memory.h - Memory of a process's own ------------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_RUNTIME_MEMORY_H
#define MOE_LIB_RUNTIME_MEMORY_H

#include "Runtime/Error.h"

#include <cstddef>

namespace moe::runtime {

/// Zeroed memory, private to the process. A page is taken when it is first
/// written. From one huge page on it starts at a huge page and asks for more of
/// them, which spare the CPU most of its address translations.
class Memory {
public:
  static constexpr size_t kHugePage = size_t(1) << 21;

  /// Allocates `bytes` bytes, at least 1, or nothing.
  static std::optional<Memory> allocate(size_t bytes);

  Memory(Memory &&other) noexcept
      : base(std::exchange(other.base, nullptr)), size(other.size) {}
  Memory &operator=(Memory &&other) noexcept {
    std::swap(base, other.base);
    std::swap(size, other.size);
    return *this;
  }
  ~Memory();

  std::byte *data() const { return base; }

private:
  Memory(std::byte *base, size_t size) : base(base), size(size) {}

  std::byte *base;
  size_t size;
};

/// Reads the first `bytes` bytes of a file, at least 1, into memory, on as many
/// threads as the process has CPUs.
Expected<Memory> readFile(const std::string &path, size_t bytes);

} // namespace moe::runtime

#endif // MOE_LIB_RUNTIME_MEMORY_H

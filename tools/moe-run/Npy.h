//===- Npy.h - NumPy files ------------------------------------ -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Versions 1 and 2 of the format, little-endian and row-major. bf16 is <V2,
// which is what NumPy writes for ml_dtypes.bfloat16.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_TOOLS_MOE_RUN_NPY_H
#define MOE_TOOLS_MOE_RUN_NPY_H

#include "moe-runtime/moe.h"

#include <string>
#include <vector>

namespace moe::run {

/// A contiguous, row-major array.
struct Array {
  moe_dtype dtype;
  std::vector<int64_t> shape;
  std::vector<char> data;

  /// A zeroed array.
  static Array zeros(moe_dtype dtype, std::vector<int64_t> shape);

  /// A view of it for the runtime.
  moe_tensor tensor() {
    return {dtype, shape.size(), shape.data(), data.data()};
  }
};

/// Reads a whole .npy file; fails on anything but what the head of this file
/// says, and on fewer or more bytes than the shape needs.
Array readNpy(const std::string &path);

/// Writes `array` beside `path` and renames it, so that `path` is whole or
/// untouched.
void writeNpy(const std::string &path, const Array &array);

} // namespace moe::run

#endif // MOE_TOOLS_MOE_RUN_NPY_H

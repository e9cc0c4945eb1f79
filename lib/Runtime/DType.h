//===- DType.h - Element types -------------------------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_RUNTIME_DTYPE_H
#define MOE_LIB_RUNTIME_DTYPE_H

#include "moe-runtime/moe.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace moe::runtime {

struct DType {
  moe_dtype value;
  const char *name;        ///< in manifests: "bf16"
  const char *archiveName; ///< in safetensors headers: "BF16"
  int64_t bytes;           ///< of one element
};

/// What is known of `dtype`; null for a number that is no element type.
const DType *describe(moe_dtype dtype);

/// The element type of that name in manifests, null when there is none.
const DType *dtypeNamed(std::string_view name);

/// The element type of that name in archives, null when there is none.
const DType *dtypeNamedInArchive(std::string_view name);

/// Bytes of a contiguous array; nothing when an extent is negative or the
/// product exceeds the range of int64_t.
std::optional<int64_t> arrayBytes(moe_dtype dtype, const int64_t *shape,
                                  size_t rank);

} // namespace moe::runtime

#endif // MOE_LIB_RUNTIME_DTYPE_H

//===- Pack.h - Packs matrices in panels ------------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The step `pack of` of the parameter program. Its layouts are described with
// `moe.parameter`.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_PARAMS_PACK_H
#define MOE_PARAMS_PACK_H

#include "mlir/Support/LLVM.h"
#include "llvm/ADT/STLFunctionalExtras.h"

#include <cstdint>
#include <string>

namespace mlir::moe {

/// Matrices `[out,in]` of one type that are packed together: one, or two whose
/// columns are interleaved.
struct PackSources {
  int64_t number;
  int64_t out;
  int64_t in;
  /// The elements of a row of matrix number `source`, until the next call. They
  /// need no alignment.
  llvm::function_ref<const char *(int64_t source, int64_t row)> getRow;
};

/// The bytes of panel number `panel` of f32 matrices: `[in][32]`.
std::string packPanelF32(const PackSources &sources, int64_t panel);

/// The bytes of panel number `panel` of bf16 matrices:
/// `[ceil(in/32)][2][16][16][2]`.
std::string packPanelBF16(const PackSources &sources, int64_t panel);

} // namespace mlir::moe

#endif // MOE_PARAMS_PACK_H

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

#include "moe/Params/Quantize.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <string>

namespace mlir::moe {

/// Matrices `[out,in]` of one type that are packed together: one, or two whose
/// columns are interleaved.
struct PackSources {
  int64_t number;
  int64_t out;
  int64_t in;
  /// The format that keeps their elements as they are.
  PackFormat own;
  /// The elements of a row of matrix number `source`, until the next call. They
  /// need no alignment.
  llvm::function_ref<const char *(int64_t source, int64_t row)> getRow;
};

/// An element that a format cannot hold.
struct UnfitElement {
  int64_t source, row, column;
  float value;
};

struct PackedPanel {
  std::string bytes;
  Deviation deviation;
  /// The first one, if any; the bytes are then incomplete.
  std::optional<UnfitElement> unfit;
};

/// Makes panel number `panel`. Elements in the format's own type are copied,
/// whatever they are.
PackedPanel packPanel(PackFormat format, const PackSources &sources,
                      int64_t panel);

} // namespace mlir::moe

#endif // MOE_PARAMS_PACK_H

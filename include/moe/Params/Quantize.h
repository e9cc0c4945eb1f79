//===- Quantize.h - Encodes columns of packed weights -----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// `moe.parameter` says what each format makes of its elements.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_PARAMS_QUANTIZE_H
#define MOE_PARAMS_QUANTIZE_H

#include "moe/IR/Packing.h"

namespace mlir::moe {

/// How far encoded elements are from what they were.
struct Deviation {
  /// The largest difference, in the unit of `getErrorBound`.
  double largest = 0;
  /// Sums of the squares of the differences and of the elements.
  double squares = 0, total = 0;

  void add(const Deviation &other) {
    largest = std::max(largest, other.largest);
    squares += other.squares;
    total += other.total;
  }

  /// The root of the mean square of the differences over that of the elements.
  double getRms() const { return total == 0 ? 0 : std::sqrt(squares / total); }
};

/// The least magnitude that a format cannot hold.
float getLimit(PackFormat format);

/// Encodes a column that has no magnitude from the limit on. `values` are a
/// multiple of 64. Elements, and scales behind one another, are in the order of
/// the panel's, without those of other columns.
void encodeColumn(PackFormat format, ArrayRef<float> values, char *elements,
                  char *scales, Deviation &deviation);

} // namespace mlir::moe

#endif // MOE_PARAMS_QUANTIZE_H

//===- DotTiles.h - Products of integers ------------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Weights are unsigned bytes, `q + z` with a constant z of the format; rows are
// signed ones. A dot product of four of each is added to 32 bits:
//
//   sum_k q[k] * a[k] = sum_k (q[k] + z) * a[k] - z * sum_k a[k]
//
// The last term is a number for each row, which is made when rows are packed.
// Without instructions for dot products, those of neighbours must fit into 16
// bits: weights of 8 bits are then used as signed ones, with z = 0.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_DOTTILES_H
#define MOE_LIB_CPU_DOTTILES_H

#include "TileKernels.h"

namespace mlir::moe {

/// z
int64_t getZeroPoint(const Level &level, PackFormat format);

/// What the scale of a row is multiplied with, because weights are multiples of
/// it.
double getUnit(PackFormat format);

/// Whether elements have scales for 32 of them, not for whole rows.
bool hasGroups(PackFormat format);

/// Rows that fill the registers of `level`.
int64_t maxDotRows(const Level &level, PackFormat format);

/// Emits the loop over dot products for `rows` rows. With groups, sums are f32;
/// without, exact i32 in the place of f32, which `emitScale` makes f32.
void emitDotTile(KernelBuilder &b, const Level &level, PackFormat format,
                 int64_t rows, const TileArguments &arguments);

/// The sums of a row of `int8`: (i32 + correction) * scale of the row * scale
/// of the column, in place. `scale` and `correction` are pointers, `scales` to
/// those of the columns.
void emitScale(KernelBuilder &b, const Level &level, Value sums, Value scale,
               Value correction, Value scales);

} // namespace mlir::moe

#endif // MOE_LIB_CPU_DOTTILES_H

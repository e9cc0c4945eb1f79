//===- TileKernels.h - Tiles of rows times a panel, in registers -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The innermost loops. A tile is a few packed rows (RowLayout.h), a panel 32
// columns of a packed weight. Their products over a range of k are added to
// f32 accumulators, one for each row and column, k ascending:
//
//   acc = fresh ? 0 : load acc;  for k: acc[i][c] += rows[k][i] * panel[k][c];  store acc
//
// While it multiplies, a kernel prefetches lines that will be needed next.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_TILEKERNELS_H
#define MOE_LIB_CPU_TILEKERNELS_H

#include "KernelBuilder.h"
#include "Levels.h"

#include "moe/IR/Packing.h"

namespace mlir::moe {

/// A sequence of bytes that will be read: where it begins, the next line to
/// prefetch, and how many lines per step.
struct Stream {
  Value begin, line, lines;
};

/// What a kernel works on. Pointers, but for `count`, the number of k, and
/// `fresh`, an i1.
struct TileArguments {
  Value rows, panel, count, acc, fresh;
  Stream ahead;
};

/// k of a step: between two steps, lines are prefetched.
inline constexpr int64_t kStep = 4;

/// Rows that fill the registers of `level`.
int64_t maxFmaRows(const Level &level);

/// Emits the loop over fused multiply-adds for `rows` rows, packed as
/// `[k][rows]`, and an f32 or a bf16 panel.
void emitFmaTile(KernelBuilder &b, const Level &level, PackFormat format,
                 int64_t rows, const TileArguments &arguments);

/// Prefetches the lines of one step. Neighbours of a stream lie in different
/// pages: eight pages of 4 KiB are walked side by side, because the memory
/// serves several places faster than one.
void emitPrefetch(KernelBuilder &b, Stream stream);

} // namespace mlir::moe

#endif // MOE_LIB_CPU_TILEKERNELS_H

//===- TileKernels.h - Tiles of rows times a panel, in registers -*- C++
//-*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The innermost loops. A tile is a few packed rows (RowLayout.h), a panel 32
// columns of a packed weight. Their products over a range of k are added to
// f32 accumulators, one for each row and column, k ascending:
//
//   acc = fresh ? 0 : load acc;  for k: acc[i][c] += rows[k][i] * panel[k][c];
//   store acc
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

/// What a kernel prefetches while it works: of the `bytes` from `stream` on,
/// the bursts `begin..end`, `perStep` of them in every `period`-th step.
struct Prefetch {
  /// Lines of a burst, each of another page of 4 KiB: the memory serves several
  /// places faster than one. A stream is 32 KiB after 32 KiB; what remains is
  /// as many places, nearer to each other.
  static constexpr int64_t kLines = 8;
  static constexpr int64_t kBytes = kLines * 64;

  Value stream, bytes, begin, end, perStep, period;
};

/// What a kernel works on. Pointers, but for `count`, the number of k, and
/// `fresh`, an i1.
struct TileArguments {
  Value rows, panel, count, acc, fresh;
  Prefetch prefetch;
};

/// The state of a prefetch in a loop: steps to wait, and the next burst.
struct PrefetchState {
  static SmallVector<Value> initial(KernelBuilder &b, const Prefetch &prefetch);

  /// Prefetches what is due in a step; returns the state of the next one.
  static SmallVector<Value> step(KernelBuilder &b, const Prefetch &prefetch,
                                 ValueRange state);
};

/// The sums that a kernel begins with, registers of `type`: number `i` is
/// `at(i)` bytes behind `acc`.
ValueRange loadSums(KernelBuilder &b, VectorType type,
                    const TileArguments &arguments, int64_t count,
                    function_ref<int64_t(int64_t i)> at);

/// k of a step of fused multiply-adds.
inline constexpr int64_t kStep = 4;

/// Rows that fill the registers of `level`.
int64_t maxFmaRows(const Level &level);

/// Emits the loop over fused multiply-adds for `rows` rows, packed as
/// `[k][rows]`, and an f32 or a bf16 panel.
void emitFmaTile(KernelBuilder &b, const Level &level, PackFormat format,
                 int64_t rows, const TileArguments &arguments);

} // namespace mlir::moe

#endif // MOE_LIB_CPU_TILEKERNELS_H

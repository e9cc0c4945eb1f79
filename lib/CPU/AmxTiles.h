//===- AmxTiles.h - Products in the tile registers of AMX -------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// AMX has eight registers of 16 rows of 64 bytes. Four of them accumulate 32
// rows times the 32 columns of a panel, two hold rows, two hold weights. (Intel
// SDM, volume 1, chapter 18.)
//
// Upstream's amx dialect has no loads with the hint that keeps the weights in
// L1 while rows stream past them, so that this emits the intrinsics.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_AMXTILES_H
#define MOE_LIB_CPU_AMXTILES_H

#include "TileKernels.h"

namespace mlir::moe {

/// Rows of one register, and of a tile of rows: two registers.
inline constexpr int64_t kAmxRows = 16, kAmxTileRows = 32;

/// Bytes of k that a register's row has.
inline constexpr int64_t kAmxBytes = 64;

/// Emits the products of `registers` registers of rows, each step
/// `[registers][16][64 bytes]`, with a panel: of bf16, or of `int8`, whose sums
/// are i32 in the place of f32. `arguments.count` is a multiple of the k of 64
/// bytes.
void emitAmxTile(KernelBuilder &b, const Level &level, PackFormat format,
                 int64_t registers, const TileArguments &arguments);

} // namespace mlir::moe

#endif // MOE_LIB_CPU_AMXTILES_H

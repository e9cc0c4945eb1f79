//===- PanelDecoder.h - Packed weights as floats ----------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_PANELDECODER_H
#define MOE_LIB_CPU_PANELDECODER_H

#include "TileKernels.h"

namespace mlir::moe {

class RowLayout;

/// Whether tiles multiply f32 rows with panels of this format as they are.
bool hasFmaTiles(PackFormat format);

/// The scales of the `lanes` columns from `column` on, of group `group` of the
/// step of a panel with scales for groups.
Value loadScales(KernelBuilder &b, PackFormat format, int64_t lanes,
                 Value panel, int64_t group, int64_t column);

/// Writes what `count` k of a panel stand for to `to`, for rows of `layout`: as
/// a panel of bf16 for AMX, else of f32. `panel` points to the first of them,
/// `scales` to those of the columns.
void emitDecode(KernelBuilder &b, const Level &level, const RowLayout &layout,
                Value panel, Value scales, Value count, Value to,
                const Prefetch &prefetch);

} // namespace mlir::moe

#endif // MOE_LIB_CPU_PANELDECODER_H

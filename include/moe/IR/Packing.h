//===- Packing.h - The geometry of packed weights ---------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A packed matrix `[out,in]` is a list of panels of 32 columns of the product.
// A panel is one linear stream of steps of the inputs; each step is the
// elements of all columns and, behind them, their scales. `moe.parameter`
// describes what is in a step.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_IR_PACKING_H
#define MOE_IR_PACKING_H

#include "moe/IR/MoE.h"

namespace mlir::moe {

/// Columns of one panel of a packed weight.
inline constexpr int64_t kPanelColumns = 32;

/// Extents of the blocks that share a scale in `fp8 of`.
inline constexpr int64_t kScaleBlock = 128;

/// Elements of a column that share a scale in `q8_0`, `q4_0` and `mxfp4`.
inline constexpr int64_t kScaleGroup = 32;

/// The shape of a panel, the same for all matrices of a format.
struct PanelGeometry {
  /// Inputs of a step; the last step is padded.
  int64_t stepInputs;
  /// Bytes of a step: the elements of all columns, and their scales.
  int64_t elementBytes;
  int64_t scaleBytes;
  /// Bytes behind the last step: the scales of whole columns.
  int64_t tailBytes;
  /// Elements of a column that are next to one another, in bytes, and how many
  /// columns follow one another before the next elements of the first.
  int64_t unitBytes;
  int64_t unitColumns;

  static PanelGeometry get(PackFormat format);

  int64_t getNumSteps(int64_t in) const {
    return llvm::divideCeil(in, stepInputs);
  }
  int64_t getStepBytes() const { return elementBytes + scaleBytes; }

  /// Bytes of a panel with `in` inputs, a multiple of 64.
  int64_t getPanelBytes(int64_t in) const {
    return getNumSteps(in) * getStepBytes() + tailBytes;
  }
};

/// Whether a packed weight is bytes: integers or codes, and their scales.
bool isByteFormat(PackFormat format);

/// The format that keeps elements of this type, f32, bf16 or f16, as they are.
PackFormat getOwnFormat(Type element);

/// How far an element may be from what it was, relative to the largest
/// magnitude that shares its scale, or to its own where there are no scales;
/// below the least magnitude whose scale, or which itself, is a normal number,
/// relative to that one.
double getErrorBound(PackFormat format);

/// Whether rows can be rounded to `compute` for weights of this format; weights
/// that are not packed have none.
bool isComputable(std::optional<PackFormat> format, Compute compute);

/// The type that `moe.parameter ... pack` gives a stack of matrices
/// `[..., out, in]`; of two sources, the type of either. The leading extents
/// stay.
RankedTensorType getPackedType(PackFormat format, RankedTensorType matrices,
                               int numSources);

} // namespace mlir::moe

#endif // MOE_IR_PACKING_H

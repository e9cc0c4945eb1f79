//===- RowRuns.h - Rows of ragged sequences -------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Work items are runs: rows of one sequence that follow each other, at most so
// many. A run is found by its number with a walk over the sequences.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_ROWRUNS_H
#define MOE_LIB_CPU_ROWRUNS_H

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::moe {

/// Rows `first..first+count` of all rows. The first one has `position` in its
/// `sequence`, whose cache is `slot`.
struct RowRun {
  Value first, count, position, sequence, slot;
};

/// The rows of all sequences, cut into runs of `length` or fewer rows.
class RowRuns {
public:
  /// `op` is one that has cu, past and slot.
  template <typename OpTy>
  RowRuns(OpTy op, int64_t length)
      : cu(op.getCu()), past(op.getPast()), slot(op.getSlot()), length(length) {
  }

  /// The number of runs.
  Value count(ImplicitLocOpBuilder &b) const;

  /// Run `i`, in the order of the rows.
  RowRun at(ImplicitLocOpBuilder &b, Value i) const;

private:
  Value countIn(ImplicitLocOpBuilder &b, Value sequence) const;

  Value cu, past, slot;
  int64_t length;
};

} // namespace mlir::moe

#endif // MOE_LIB_CPU_ROWRUNS_H

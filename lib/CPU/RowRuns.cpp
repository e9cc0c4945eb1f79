//===- RowRuns.cpp - Rows of ragged sequences -----------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowRuns.h"

#include "Loops.h"

using namespace mlir;
using namespace mlir::moe;

static Value loadIndex(ImplicitLocOpBuilder &b, Value i32s, Value i) {
  return toIndex(b, load(b, i32s, i));
}

/// The number of runs of a sequence.
Value RowRuns::countIn(ImplicitLocOpBuilder &b, Value sequence) const {
  Value end = loadIndex(b, cu, add(b, sequence, 1));
  Value rows = sub(b, end, loadIndex(b, cu, sequence));
  return div(b, add(b, rows, length - 1), length);
}

Value RowRuns::count(ImplicitLocOpBuilder &b) const {
  Value zero = constantIndex(b, 0);
  return forLoop(b, zero, dim(b, past, 0), zero,
                 [&](ImplicitLocOpBuilder &b, Value s,
                     ValueRange sum) -> SmallVector<Value> {
                   return {add(b, sum[0], countIn(b, s))};
                 })
      .getResult(0);
}

RowRun RowRuns::at(ImplicitLocOpBuilder &b, Value i) const {
  // Runs of the sequences so far, the run's sequence, its number in there.
  Value zero = constantIndex(b, 0);
  auto walk =
      forLoop(b, zero, dim(b, past, 0), {zero, zero, zero},
              [&](ImplicitLocOpBuilder &b, Value s,
                  ValueRange carried) -> SmallVector<Value> {
                Value runs = countIn(b, s);
                // Wraps to a large number if the run is in an earlier one.
                Value local = sub(b, i, carried[0]);
                Value here = less(b, local, runs);
                return {add(b, carried[0], runs),
                        arith::SelectOp::create(b, here, s, carried[1]),
                        arith::SelectOp::create(b, here, local, carried[2])};
              });
  Value sequence = walk.getResult(1);
  Value begin = mul(b, walk.getResult(2), length);
  Value first = add(b, loadIndex(b, cu, sequence), begin);
  Value end = loadIndex(b, cu, add(b, sequence, 1));
  return {first, min(b, sub(b, end, first), length),
          add(b, loadIndex(b, past, sequence), begin), sequence,
          loadIndex(b, slot, sequence)};
}

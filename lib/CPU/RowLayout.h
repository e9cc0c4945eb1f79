//===- RowLayout.h - How kernels read rows ----------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows are packed in tiles of about equal numbers of rows, one tile after
// another, so that a kernel walks neighbours. What a tile looks like depends on
// what the rows are multiplied with, and how:
//
//   compute f32    [k][row] of f32
//   compute bf16   the same, rounded to bf16; for AMX, where tiles are of 32
//   rows
//                  but for the last, [k / 32][row / 16][16][32] of bf16
//
// k is padded with zeros to what a step of the panel holds.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_ROWLAYOUT_H
#define MOE_LIB_CPU_ROWLAYOUT_H

#include "KernelBuilder.h"
#include "Levels.h"

#include "moe/IR/Packing.h"

namespace mlir::moe {

/// A number of rows, cut into as few tiles as have at most `most` rows each.
/// They are about equal, or all but the last are full.
struct Tiles {
  /// `rows` is of type index or an integer; so are all other values.
  Tiles(ImplicitLocOpBuilder &b, Value rows, int64_t most, bool areEqual);

  /// The number of rows of tile `i`.
  Value rows(ImplicitLocOpBuilder &b, Value i) const;
  /// The first of them.
  Value begin(ImplicitLocOpBuilder &b, Value i) const;

  Value count;

private:
  Value all, least, longer;
  bool areEqual;
};

class RowLayout {
public:
  RowLayout(const Level &level, PackFormat format, Compute compute);

  PackFormat getFormat() const { return format; }
  Compute getCompute() const { return compute; }

  /// Whether rows are multiplied in the tile registers of AMX.
  bool isAmx() const { return level.hasTiles && compute != Compute::F32; }

  /// Rows of a tile, at most.
  int64_t getTileRows() const { return tileRows; }

  /// The tiles of `rows`.
  Tiles getTiles(ImplicitLocOpBuilder &b, Value rows) const {
    return Tiles(b, rows, tileRows, /*areEqual=*/!isAmx());
  }

  /// Rows for which there is room after a tile that is not full.
  Value roundUpRows(ImplicitLocOpBuilder &b, Value rows) const;

  /// The type of an element of the buffer.
  Type getElementType(MLIRContext *context) const;

  /// Elements of a packed row of `k` elements.
  int64_t getRowSize(int64_t k) const;

  /// Bytes of a panel for one k, scales and all.
  int64_t getPanelBytesPerK() const;

  /// Where the elements from `begin` on of the tile of `count` rows from
  /// `first` on are, in packed rows of length `k`.
  Value at(KernelBuilder &b, Value rows, Value k, Value first, Value count,
           Value begin) const;

  /// Packs `count` rows of `from`, those that `source` names, from
  /// `to[first]` on.
  void pack(ImplicitLocOpBuilder &b, Value from,
            function_ref<Value(ImplicitLocOpBuilder &b, Value i)> source,
            Value count, Value to, Value first) const;

private:
  void packRow(ImplicitLocOpBuilder &b, Value from, Value position, Value to,
               Value base, Value row, Value rows) const;

  const Level &level;
  PackFormat format;
  Compute compute;
  int64_t tileRows;
};

} // namespace mlir::moe

#endif // MOE_LIB_CPU_ROWLAYOUT_H

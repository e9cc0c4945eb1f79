//===- RowLayout.h - How kernels read rows ----------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows are packed in tiles, one after another, so that a kernel walks
// neighbours. A tile is a sequence of steps of k, all rows of a step side by
// side:
//
//   compute f32    [k][row] of f32
//   compute bf16   the same, rounded to bf16;
//                  for AMX [k / 32][row / 16][16][32] of bf16
//   compute int8   scales for 32 elements:
//                    [k / 32], each [8][row][4] of i8, [row] scales of f32 and
//                    [row] corrections (DotTiles.h) of i32;
//                  scales for rows:
//                    [k / 4][row][4] of i8, for AMX [k / 64][row / 16][16][64],
//                    then [row] scales and [row] corrections
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

/// Bytes of a row's group: elements, scale and correction.
inline constexpr int64_t kRowGroupBytes = kScaleGroup + 8;

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

  const Level &getLevel() const { return level; }
  PackFormat getFormat() const { return format; }
  Compute getCompute() const { return compute; }

  /// Whether rows are multiplied in the tile registers of AMX, or as integers
  /// in vectors.
  bool isAmx() const;
  bool isDot() const { return compute == Compute::Int8 && !isAmx(); }

  /// Whether there is one scale for each row.
  bool hasRowScales() const {
    return compute == Compute::Int8 && format == PackFormat::Int8;
  }

  /// k of a step of the kernel.
  int64_t getStep() const;

  /// Whether panels are decoded to what tiles multiply, a block of k at a time,
  /// and bytes of an element then.
  bool isDecoded() const;
  int64_t getDecodedBytes() const { return isAmx() ? 2 : 4; }

  /// Rows of a tile, at most.
  int64_t getTileRows() const { return tileRows; }

  /// The tiles of `rows`.
  Tiles getTiles(ImplicitLocOpBuilder &b, Value rows) const {
    return Tiles(b, rows, tileRows, /*areEqual=*/!isAmx());
  }

  /// Rows for which there is room in a tile of so many rows.
  Value roundUpRows(ImplicitLocOpBuilder &b, Value rows) const;

  /// Bytes of a packed row of `k` elements.
  int64_t getRowBytes(int64_t k) const;

  /// Bytes of a panel for one k, times 64: scales of columns are not among
  /// them.
  int64_t getPanelBytesPer64() const;

  /// Where the elements from `begin` on of the tile of `count` rows from
  /// `first` on are, in packed rows of length `k`.
  Value at(KernelBuilder &b, Value rows, Value k, Value first, Value count,
           Value begin) const;

  /// `k` with its padding.
  Value padded(KernelBuilder &b, Value k) const;

  /// Packs `count` rows of `from`, those that `source` names, into the bytes
  /// from `to[first]` on.
  void pack(ImplicitLocOpBuilder &b, Value from,
            function_ref<Value(ImplicitLocOpBuilder &b, Value i)> source,
            Value count, Value to, Value first) const;

  /// Whether `storeColumns` can pack rows of `k` elements.
  bool canStoreColumns(int64_t k) const;

  /// Packs registers of columns from `column` on: those of row `row` of `count`
  /// packed rows of `k` elements that begin at `to[first]`.
  void storeColumns(ImplicitLocOpBuilder &b, ValueRange columns, int64_t k,
                    Value count, Value row, Value column, Value to,
                    Value first) const;

private:
  /// A step of rows.
  struct Step {
    int64_t k, bytes;
  };
  Step getRowStep() const;
  int64_t getTailBytes() const { return hasRowScales() ? 8 : 0; }

  const Level &level;
  PackFormat format;
  Compute compute;
  int64_t tileRows;
};

} // namespace mlir::moe

#endif // MOE_LIB_CPU_ROWLAYOUT_H

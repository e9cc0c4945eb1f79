//===- RowBlocks.h - Products of blocks of rows with packed weights -*- C++
//-*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows are cut into *blocks*, each of one group (an expert, or all rows of a
// dense projection), and blocks into *tiles*. A tile of r rows is computed by
// the smallest kernel of m >= r rows, and packed as `[K][m]`, so that a kernel
// reads neighbours. A block begins at a multiple of the largest tile.
//
// One work item is a block and a chunk of the columns, so that few rows and one
// hot expert alike use all cores. An item owns its outputs with the whole range
// of K: no bit depends on how the work was cut.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_ROWBLOCKS_H
#define MOE_LIB_CPU_ROWBLOCKS_H

#include "Levels.h"

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::moe {

/// Rows `first..first+count` of a group, `packed` from row `packed` on.
struct RowBlock {
  Value group, first, count, packed;
};

/// Rows of `length` elements, tile after tile.
struct PackedRows {
  Value buffer;
  int64_t length;
};

/// A row of a product, in the columns of one panel.
struct RowOfPanel {
  /// Which row, in the order of the groups, and which panel.
  Value position, panel;
  /// Registers of columns, ascending.
  SmallVector<Value> columns;
  /// Its tile: how many rows it has room for, where it begins as a packed row,
  /// and which of its rows this one is.
  int64_t tile;
  Value tileBegin, rowInTile;
};

/// All rows of a product, in blocks.
class RowBlocks {
public:
  /// One group of `numRows` rows.
  static RowBlocks dense(ImplicitLocOpBuilder &b, const Level &level,
                         Value numRows);

  /// `groups` groups, rows `offsets[g]..offsets[g+1]` each, at most `maxRows`
  /// together.
  static RowBlocks grouped(ImplicitLocOpBuilder &b, const Level &level,
                           Value offsets, int64_t groups, Value maxRows);

  /// Room for all rows, each of `length` elements.
  PackedRows allocatePacked(ImplicitLocOpBuilder &b, int64_t length) const;

  /// Packs, in parallel, row `source(position)` of `rows` at each position.
  PackedRows pack(ImplicitLocOpBuilder &b, Value rows,
                  function_ref<Value(ImplicitLocOpBuilder &b, Value position)>
                      source) const;

  /// Multiplies, in parallel, `packed` with the packed `weights` of their
  /// groups and hands each row of each panel to `consume`.
  void
  multiply(ImplicitLocOpBuilder &b, PackedRows packed, Value weights,
           function_ref<void(ImplicitLocOpBuilder &b, const RowOfPanel &row)>
               consume) const;

private:
  explicit RowBlocks(const Level &level) : level(level) {}
  RowBlock at(ImplicitLocOpBuilder &b, Value i) const;

  const Level &level;
  /// The number of blocks, and a bound on the packed rows.
  Value count, maxPackedRows;
  /// Of a dense product.
  Value numRows;
  /// Of a grouped one: group, first, count and packed of each block.
  Value list;
};

/// Writes registers of columns from `column` on to a row, as far as it goes.
void storeColumns(ImplicitLocOpBuilder &b, ValueRange columns, Value rows,
                  Value row, Value column);

} // namespace mlir::moe

#endif // MOE_LIB_CPU_ROWBLOCKS_H

//===- Pack.cpp - Packs matrices in panels --------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Column c of a panel is a row of a source: of one source, row 32p+c; of two,
// row 16p+c of the first for c < 16 and row 16p+c-16 of the second for the
// rest. A layout says where element k of column c lies in the panel.
//
//===----------------------------------------------------------------------===//

#include "moe/Params/Pack.h"
#include "moe/IR/Packing.h"

#include <cstring>

using namespace mlir;
using namespace mlir::moe;

/// Puts element `k` of column `c` at `position(k, c)` of a panel of
/// `rows * 32` elements; what is out of range is 0.
template <size_t elementBytes, typename Position>
static std::string packPanel(const PackSources &sources, int64_t panel,
                             int64_t rows, Position position) {
  std::string result(rows * kPanelColumns * elementBytes, '\0');
  int64_t columnsPerSource = kPanelColumns / sources.number;
  for (int64_t c = 0; c < kPanelColumns; ++c) {
    int64_t row = panel * columnsPerSource + c % columnsPerSource;
    if (row >= sources.out)
      continue;
    const char *column = sources.getRow(c / columnsPerSource, row);
    for (int64_t k = 0; k < sources.in; ++k)
      std::memcpy(&result[position(k, c) * elementBytes],
                  column + k * elementBytes, elementBytes);
  }
  return result;
}

std::string mlir::moe::packPanelF32(const PackSources &sources, int64_t panel) {
  // [k][c]
  return packPanel<4>(sources, panel, sources.in, [](int64_t k, int64_t c) {
    return k * kPanelColumns + c;
  });
}

std::string mlir::moe::packPanelBF16(const PackSources &sources,
                                     int64_t panel) {
  // [k / 32][c / 16][k / 2 % 16][c % 16][k % 2]
  return packPanel<2>(
      sources, panel, llvm::alignTo(sources.in, 32), [](int64_t k, int64_t c) {
        return (((k / 32 * 2 + c / 16) * 16 + k / 2 % 16) * 16 + c % 16) * 2 +
               k % 2;
      });
}

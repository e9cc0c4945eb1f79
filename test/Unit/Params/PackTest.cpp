//===- PackTest.cpp - Panels of hand-made matrices ------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/Params/Pack.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <cstring>
#include <gtest/gtest.h>
#include <numeric>

using namespace mlir::moe;

/// The bytes of a matrix whose elements are 1, 2, 3, ...: as many as `out *
/// in`.
template <typename T>
static std::string makeMatrix(int64_t out, int64_t in, T first = 1) {
  std::vector<T> elements(out * in);
  std::iota(elements.begin(), elements.end(), first);
  return std::string(reinterpret_cast<char *>(elements.data()),
                     elements.size() * sizeof(T));
}

template <typename T>
static std::vector<T> getElements(const std::string &bytes) {
  std::vector<T> elements(bytes.size() / sizeof(T));
  std::memcpy(elements.data(), bytes.data(), bytes.size());
  return elements;
}

/// A panel of row-major matrices in their own format.
template <typename T>
static std::vector<T> pack(llvm::ArrayRef<llvm::StringRef> matrices,
                           int64_t out, int64_t in, int64_t panel) {
  auto getRow = [&](int64_t source, int64_t row) {
    return matrices[source].data() + row * in * sizeof(T);
  };
  PackFormat own = sizeof(T) == 4 ? PackFormat::F32 : PackFormat::BF16;
  PackSources sources = {int64_t(matrices.size()), out, in, own, getRow};
  return getElements<T>(packPanel(own, sources, panel).bytes);
}

TEST(Pack, F32PanelIsTransposed) {
  std::string matrix = makeMatrix<float>(/*out=*/33, /*in=*/2);
  auto panel = pack<float>({matrix}, 33, 2, 0);
  ASSERT_EQ(panel.size(), 2u * 32);
  for (int c = 0; c < 32; ++c) {
    EXPECT_EQ(panel[c], 2 * c + 1);
    EXPECT_EQ(panel[32 + c], 2 * c + 2);
  }
}

TEST(Pack, LastPanelIsFilledWithZeros) {
  std::string matrix = makeMatrix<float>(/*out=*/33, /*in=*/2);
  auto panel = pack<float>({matrix}, 33, 2, 1);
  std::vector<float> expected(2 * 32);
  expected[0] = 65;
  expected[32] = 66;
  EXPECT_EQ(panel, expected);
}

TEST(Pack, TwoSourcesAreInterleavedBy16Columns) {
  std::string gate = makeMatrix<float>(/*out=*/17, /*in=*/1);
  std::string up = makeMatrix<float>(/*out=*/17, /*in=*/1, /*first=*/101);
  std::vector<float> first(32), second(32);
  for (int c = 0; c < 16; ++c) {
    first[c] = c + 1;
    first[16 + c] = c + 101;
  }
  second[0] = 17;
  second[16] = 117;
  EXPECT_EQ(pack<float>({gate, up}, 17, 1, 0), first);
  EXPECT_EQ(pack<float>({gate, up}, 17, 1, 1), second);
}

TEST(Pack, BF16PanelPairsRows) {
  // 18 columns and 35 rows: both halves, and a second block of three rows.
  std::string matrix = makeMatrix<uint16_t>(/*out=*/18, /*in=*/35);
  auto panel = pack<uint16_t>({matrix}, 18, 35, 0);
  ASSERT_EQ(panel.size(), 2u * 2 * 16 * 16 * 2);
  auto at = [&](int block, int half, int pair, int column, int i) {
    return panel[(((block * 2 + half) * 16 + pair) * 16 + column) * 2 + i];
  };
  // W[out][in] = 35 * out + in + 1.
  EXPECT_EQ(at(0, 0, 0, 0, 0), 1);
  EXPECT_EQ(at(0, 0, 0, 0, 1), 2);
  EXPECT_EQ(at(0, 0, 0, 1, 0), 36);
  EXPECT_EQ(at(0, 0, 15, 2, 1), 35 * 2 + 31 + 1);
  EXPECT_EQ(at(0, 1, 3, 1, 0), 35 * 17 + 6 + 1);
  EXPECT_EQ(at(1, 0, 0, 0, 0), 33);
  EXPECT_EQ(at(1, 0, 1, 5, 0), 35 * 5 + 34 + 1);
  // Out of range: row 35, column 18.
  EXPECT_EQ(at(1, 0, 1, 5, 1), 0);
  EXPECT_EQ(at(0, 1, 0, 2, 0), 0);
  EXPECT_EQ(std::count(panel.begin(), panel.end(), 0),
            std::ptrdiff_t(panel.size() - 18 * 35));
}

TEST(Pack, SourcesNeedNoAlignment) {
  std::string matrix = "x" + makeMatrix<float>(/*out=*/32, /*in=*/1);
  auto panel = pack<float>({llvm::StringRef(matrix).drop_front()}, 32, 1, 0);
  EXPECT_EQ(panel[31], 32);
}

//===- ParameterArrayTest.cpp - Views and expansions ----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/Params/ParameterArray.h"
#include "moe/Params/ParameterProgram.h"
#include "moe/Params/SmallFloats.h"

#include "Runtime/SafeTensors.h"
#include "TestFiles.h"

#include "mlir/Parser/Parser.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <numeric>

using namespace mlir;
using namespace mlir::moe;
using namespace ::moe::test;

namespace {
/// Reads the parameter @p of programs on a checkpoint in a temporary folder.
struct ParameterArrayTest : testing::Test {
  ParameterArrayTest() { context.loadDialect<MoEDialect>(); }

  /// Adds a checkpoint with the tensors of a header.
  void addFile(const std::string &header, const std::string &data) {
    writeFile(folder.path("model.safetensors"), makeArchive(header, data));
  }

  /// Adds a checkpoint with `count` tensors "w.0", ...: the numbers from 0 on,
  /// cut into tensors of that shape.
  void addNumbers(int count, ArrayRef<int64_t> shape) {
    int64_t elements = count;
    std::string extents, header;
    for (int64_t extent : shape) {
      elements *= extent;
      extents += (extents.empty() ? "" : ",") + std::to_string(extent);
    }
    std::vector<float> numbers(elements);
    std::iota(numbers.begin(), numbers.end(), 0);
    int64_t bytes = elements * sizeof(float) / count;
    for (int i = 0; i < count; ++i)
      header += (i ? ", " : "") + ("\"w." + std::to_string(i)) +
                "\": {\"dtype\": \"F32\", \"shape\": [" + extents +
                "], \"data_offsets\": [" + std::to_string(i * bytes) + ", " +
                std::to_string((i + 1) * bytes) + "]}";
    addFile("{" + header + "}",
            std::string(reinterpret_cast<char *>(numbers.data()),
                        numbers.size() * sizeof(float)));
  }

  /// The elements of @p: `count` of them from number `begin` on, or all.
  template <typename T>
  std::vector<T> read(StringRef program, int64_t begin = 0,
                      int64_t count = -1) {
    auto module = parseSourceString<ModuleOp>(program, &context);
    auto checkpoint = Checkpoint::open(folder.path());
    auto array = ParameterArray::find(module->lookupSymbol<ParameterOp>("p"),
                                      *checkpoint);
    if (count < 0)
      count = array->getType().getNumElements();
    std::vector<T> elements(count);
    array->read(begin, count, reinterpret_cast<char *>(elements.data()));
    return elements;
  }

  /// Runs a program whose table is @p and returns the data of the archive, or
  /// the error.
  std::string run(StringRef program) {
    std::string message;
    ScopedDiagnosticHandler handler(
        &context, [&](Diagnostic &diagnostic) { message = diagnostic.str(); });
    auto module = parseSourceString<ModuleOp>(
        ("module attributes {moe.parameters = [@p]} {" + program + "}").str(),
        &context);
    std::string path = folder.path("weights");
    if (failed(runParameterProgram(*module, folder.path(), path)))
      return message;
    return readFile(path).substr(4096);
  }

  MLIRContext context;
  TemporaryFolder folder;
};

using Numbers = std::vector<float>;
} // namespace

TEST_F(ParameterArrayTest, ViewsHalvesOfAFusedMatrix) {
  addNumbers(/*count=*/2, {4, 3});
  EXPECT_EQ(read<float>(R"(
    moe.parameter @w : tensor<2x4x3xf32> from "w.{0}"
    moe.parameter @p : tensor<2x2x3xf32> view of @w
      by affine_map<(l, i, h) -> (l, i + 2, h)>)"),
            (Numbers{6, 7, 8, 9, 10, 11, 18, 19, 20, 21, 22, 23}));
}

TEST_F(ParameterArrayTest, ViewsATransposedInterleavedMatrix) {
  // [H=2, 2I=6]: up is every second column from 1 on.
  addNumbers(/*count=*/1, {2, 6});
  EXPECT_EQ(read<float>(R"(
    moe.parameter @w : tensor<1x2x6xf32> from "w.{0}"
    moe.parameter @p : tensor<1x3x2xf32> view of @w
      by affine_map<(e, i, h) -> (e, h, 2 * i + 1)>)"),
            (Numbers{1, 7, 3, 9, 5, 11}));
}

TEST_F(ParameterArrayTest, ViewsRowsBackwards) {
  addNumbers(/*count=*/1, {5});
  EXPECT_EQ(read<float>(R"(
    moe.parameter @w : tensor<1x5xf32> from "w.{0}"
    moe.parameter @p : tensor<5xf32> view of @w
      by affine_map<(i) -> (0, -i + 4)>)"),
            (Numbers{4, 3, 2, 1, 0}));
}

TEST_F(ParameterArrayTest, ViewsTheHeadsOfAFusedProjection) {
  // Two groups of rows q0 q1 k: the queries, [4, 1].
  addNumbers(/*count=*/1, {6, 1});
  EXPECT_EQ(read<float>(R"(
    moe.parameter @w : tensor<1x6x1xf32> from "w.{0}"
    moe.parameter @p : tensor<4x1xf32> view of @w
      by affine_map<(r, h) -> (0, (r floordiv 2) * 3 + r mod 2, h)>)"),
            (Numbers{0, 1, 3, 4}));
}

TEST_F(ParameterArrayTest, ViewsWhatIsNotLinearAlongARow) {
  addNumbers(/*count=*/1, {6});
  EXPECT_EQ(read<float>(R"(
    moe.parameter @w : tensor<1x6xf32> from "w.{0}"
    moe.parameter @p : tensor<6xf32> view of @w
      by affine_map<(i) -> (0, (i mod 3) * 2 + i floordiv 3)>)"),
            (Numbers{0, 2, 4, 1, 3, 5}));
}

TEST_F(ParameterArrayTest, ViewsAcrossTensors) {
  // The rows of the view are the experts' elements, which are not neighbours.
  addNumbers(/*count=*/3, {2});
  EXPECT_EQ(read<float>(R"(
    moe.parameter @w : tensor<3x2xf32> from "w.{0}" at [[2, 0, 1]]
    moe.parameter @p : tensor<2x3xf32> view of @w
      by affine_map<(i, e) -> (e, i)>)"),
            (Numbers{4, 0, 2, 5, 1, 3}));
}

TEST_F(ParameterArrayTest, ViewsViews) {
  // DBRX: [E*I, H] as [E, I, H], and that transposed.
  addNumbers(/*count=*/2, {6, 2});
  StringRef program = R"(
    moe.parameter @w : tensor<2x6x2xf32> from "w.{0}"
    moe.parameter @v : tensor<2x2x3x2xf32> view of @w
      by affine_map<(l, e, i, h) -> (l, e * 3 + i, h)>
    moe.parameter @p : tensor<2x2x2x3xf32> view of @v
      by affine_map<(l, e, h, i) -> (l, e, i, h)>)";
  EXPECT_EQ(read<float>(program),
            (Numbers{0,  2,  4,  1,  3,  5,  6,  8,  10, 7,  9,  11,
                     12, 14, 16, 13, 15, 17, 18, 20, 22, 19, 21, 23}));
  EXPECT_EQ(read<float>(program, /*begin=*/4, /*count=*/6),
            (Numbers{3, 5, 6, 8, 10, 7}));
}

TEST_F(ParameterArrayTest, WritesWhatCodeLoadsOnly) {
  addNumbers(/*count=*/1, {4, 2});
  std::string data = run(R"(
    moe.parameter @w : tensor<1x4x2xf32> from "w.{0}"
    moe.parameter @p : tensor<2xf32> view of @w by affine_map<(h) -> (0, 3, h)>
  )");
  Numbers expected = {6, 7};
  ASSERT_EQ(data.size(), 64u);
  EXPECT_EQ(std::memcmp(data.data(), expected.data(), 8), 0);
}

TEST_F(ParameterArrayTest, WritesMoreThanOneBlock) {
  addNumbers(/*count=*/1, {300, 301});
  std::string data = run(R"(
    moe.parameter @w : tensor<1x300x301xf32> from "w.{0}"
    moe.parameter @p : tensor<301x300xf32> view of @w
      by affine_map<(i, j) -> (0, j, i)>)");
  Numbers numbers(300 * 301);
  ASSERT_GE(data.size(), numbers.size() * sizeof(float));
  std::memcpy(numbers.data(), data.data(), numbers.size() * sizeof(float));
  for (int i = 0; i < 301; ++i)
    for (int j = 0; j < 300; ++j)
      ASSERT_EQ(numbers[i * 300 + j], j * 301 + i);
}

TEST_F(ParameterArrayTest, PacksViews) {
  // Gate and up interleaved in one transposed matrix [H=1, 2I=4].
  addNumbers(/*count=*/1, {1, 4});
  std::string data = run(R"(
    moe.parameter @w : tensor<1x1x4xf32> from "w.{0}"
    moe.parameter @gate : tensor<1x2x1xf32> view of @w
      by affine_map<(e, i, h) -> (e, h, 2 * i)>
    moe.parameter @up : tensor<1x2x1xf32> view of @w
      by affine_map<(e, i, h) -> (e, h, 2 * i + 1)>
    moe.parameter @p : tensor<1x1x1x32xf32> pack of [@gate, @up])");
  Numbers panel(32), expected(32);
  ASSERT_EQ(data.size(), 128u);
  std::memcpy(panel.data(), data.data(), 128);
  expected[1] = 2;
  expected[16] = 1;
  expected[17] = 3;
  EXPECT_EQ(panel, expected);
}

TEST_F(ParameterArrayTest, EmptyViewsReadNothing) {
  addFile(R"({"w": {"dtype": "F32", "shape": [0, 2],
                    "data_offsets": [0, 0]}})",
          "");
  EXPECT_EQ(run(R"(
    moe.parameter @w : tensor<0x2xf32> from "w"
    moe.parameter @p : tensor<2x0xf32> view of @w by affine_map<(i, j) -> (j, i)>
  )"),
            "");
}

//===----------------------------------------------------------------------===//
// Small floats
//===----------------------------------------------------------------------===//

/// The value of the bits of a bf16.
static float toFloat(uint16_t bits) {
  return llvm::bit_cast<float>(uint32_t(bits) << 16);
}

TEST(SmallFloats, Mxfp4IsExact) {
  const float values[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (int scale = 0; scale < 255; ++scale)
    for (int code = 0; code < 8; ++code) {
      float expected = std::ldexp(values[code], scale - 127);
      EXPECT_EQ(toFloat(expandMxfp4(code, scale)), expected);
      EXPECT_EQ(toFloat(expandMxfp4(code + 8, scale)), -expected);
    }
  EXPECT_EQ(expandMxfp4(8, 127), 0x8000);
  EXPECT_EQ(toFloat(expandMxfp4(1, 0)), 0x1p-128f);
  EXPECT_TRUE(std::isinf(toFloat(expandMxfp4(7, 253))));
  for (int code = 0; code < 16; ++code)
    EXPECT_TRUE(std::isnan(toFloat(expandMxfp4(code, 255))));
}

TEST(SmallFloats, E4M3IsExact) {
  EXPECT_EQ(expandE4M3(0x01), 0x1p-9f);
  EXPECT_EQ(expandE4M3(0x07), 0x7p-9f);
  EXPECT_EQ(expandE4M3(0x08), 0x1p-6f);
  EXPECT_EQ(expandE4M3(0x38), 1);
  EXPECT_EQ(expandE4M3(0x39), 1.125);
  EXPECT_EQ(expandE4M3(0x7e), 448);
  for (int code = 0; code < 0x7f; ++code) {
    EXPECT_LT(expandE4M3(code), code < 0x7e ? expandE4M3(code + 1) : 449);
    EXPECT_EQ(expandE4M3(code + 0x80), -expandE4M3(code));
  }
  EXPECT_TRUE(std::signbit(expandE4M3(0x80)));
  EXPECT_TRUE(std::isnan(expandE4M3(0x7f)));
  EXPECT_TRUE(std::isnan(expandE4M3(0xff)));
}

TEST(SmallFloats, RoundsToNearestEven) {
  for (int bits = 0; bits < 0x7c00; ++bits) {
    float value = llvm::bit_cast<float>(expandF16(bits));
    float next =
        bits == 0x7bff ? 0x1p16f : llvm::bit_cast<float>(expandF16(bits + 1));
    float middle = (value + next) / 2;
    ASSERT_EQ(roundToF16(value), bits);
    ASSERT_EQ(roundToF16(-value), bits | 0x8000);
    ASSERT_EQ(roundToF16(middle), bits + bits % 2);
    ASSERT_EQ(roundToF16(std::nextafter(middle, value)), bits);
    ASSERT_EQ(roundToF16(std::nextafter(middle, next)), bits + 1);
  }
  EXPECT_EQ(roundToF16(INFINITY), 0x7c00);
  EXPECT_EQ(roundToF16(NAN), 0x7e00);
  EXPECT_EQ(roundToBF16(0x1.01p0f), 0x3f80);
  EXPECT_EQ(roundToBF16(0x1.03p0f), 0x3f82);
  EXPECT_EQ(roundToBF16(0x1.010002p0f), 0x3f81);
  EXPECT_EQ(roundToBF16(-INFINITY), 0xff80);
  EXPECT_EQ(roundToBF16(llvm::bit_cast<float>(0x7fffffff)), 0x7fc0);
}

TEST(SmallFloats, F16IsExact) {
  auto expand = [](uint16_t bits) {
    return llvm::bit_cast<float>(expandF16(bits));
  };
  for (int bits = 0; bits < 0x7c00; ++bits) {
    int exponent = bits >> 10;
    float expected = exponent == 0
                         ? std::ldexp(bits, -24)
                         : std::ldexp(1024 + bits % 1024, exponent - 25);
    ASSERT_EQ(expand(bits), expected);
    ASSERT_EQ(expand(bits | 0x8000), -expected);
  }
  EXPECT_EQ(expandF16(0x8000), 0x80000000);
  EXPECT_EQ(expand(0x7c00), INFINITY);
  EXPECT_EQ(expand(0xfc00), -INFINITY);
  EXPECT_TRUE(std::isnan(expand(0x7c01)));
  EXPECT_TRUE(std::isnan(expand(0xfe00)));
}

TEST_F(ParameterArrayTest, KeepsF16) {
  addFile(R"({"w.0": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
              "w.1": {"dtype": "F16", "shape": [2], "data_offsets": [4, 8]},
              "w.2": {"dtype": "BF16", "shape": [2], "data_offsets": [8, 12]}})",
          std::string("\x00\x3c\x00\xc0\x00\x38\x01\x00\x00\x00\x00\x00", 12));
  EXPECT_EQ(read<uint16_t>(R"(
    moe.parameter @w : tensor<2x2xf16> from "w.{0}"
    moe.parameter @p : tensor<2x2xf16> view of @w
      by affine_map<(i, e) -> (e, i)>)"),
            (std::vector<uint16_t>{0x3c00, 0x3800, 0xc000, 0x0001}));
  EXPECT_EQ(run(R"(moe.parameter @p : tensor<3x2xf16> from "w.{0}")"),
            folder.path("model.safetensors") +
                ": tensor 'w.2': expected f16[2], got bf16[2]");
}

TEST_F(ParameterArrayTest, ScalesBlocksOf128) {
  // 130 by 129 ones; block [i][j] has the scale 2i+j+1, the last one infinite.
  std::string data(130 * 129, '\x38');
  const float scales[] = {1, 2, 3, INFINITY};
  data.append(reinterpret_cast<const char *>(scales), sizeof(scales));
  addFile(R"({"w": {"dtype": "F8_E4M3", "shape": [130, 129],
                    "data_offsets": [0, 16770]},
              "s": {"dtype": "F32", "shape": [2, 2],
                    "data_offsets": [16770, 16786]}})",
          data);
  std::string program = R"(
    moe.parameter @w : tensor<130x129xf8E4M3FN> from "w"
    moe.parameter @s : tensor<2x2xf32> from "s"
  )";
  auto values = read<float>(
      program + "moe.parameter @p : tensor<130x129xf32> fp8 of [@w, @s]");
  for (int i = 0; i < 130; ++i)
    for (int j = 0; j < 129; ++j)
      ASSERT_EQ(values[i * 129 + j], scales[i / 128 * 2 + j / 128]);
  auto bits = read<uint16_t>(program + R"(
    moe.parameter @all : tensor<130x129xbf16> fp8 of [@w, @s]
    moe.parameter @p : tensor<2x2xbf16> view of @all
      by affine_map<(i, j) -> (128 * j, 128 * i)>)");
  EXPECT_EQ(bits, (std::vector<uint16_t>{0x3f80, 0x4040, 0x4000, 0x7f80}));
}

TEST_F(ParameterArrayTest, ExpandsGroupsLowHalfFirst) {
  // Two tensors of one row with two groups; code i in place i, modulo 16.
  std::string group;
  for (int i = 0; i < 16; ++i)
    group += char((2 * i + 1) % 16 << 4 | 2 * i % 16);
  addFile(
      R"({"b.0": {"dtype": "U8", "shape": [1, 2, 16], "data_offsets": [0, 32]},
          "b.1": {"dtype": "U8", "shape": [1, 2, 16], "data_offsets": [32, 64]},
          "s.0": {"dtype": "U8", "shape": [1, 2], "data_offsets": [64, 66]},
          "s.1": {"dtype": "U8", "shape": [1, 2], "data_offsets": [66, 68]}})",
      group + group + group + group + "\x7f\x80\x81\x82");
  std::string program = R"(
    moe.parameter @b : tensor<2x1x2x16xi8> from "b.{0}"
    moe.parameter @s : tensor<2x1x2xi8> from "s.{0}"
  )";
  std::vector<uint16_t> expected;
  for (int scale : {127, 128, 129, 130})
    for (int i = 0; i < 32; ++i)
      expected.push_back(expandMxfp4(i % 16, scale));
  EXPECT_EQ(read<uint16_t>(program + R"(
    moe.parameter @p : tensor<2x1x64xbf16> mxfp4 of [@b, @s])"),
            expected);

  std::vector<uint16_t> odd;
  for (int i = 1; i < 128; i += 2)
    odd.push_back(expected[i]);
  EXPECT_EQ(read<uint16_t>(program + R"(
    moe.parameter @w : tensor<2x1x64xbf16> mxfp4 of [@b, @s]
    moe.parameter @p : tensor<2x32xbf16> view of @w
      by affine_map<(e, i) -> (e, 0, 2 * i + 1)>)"),
            odd);
}

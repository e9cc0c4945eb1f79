//===- DotTiles.cpp - Products of integers --------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DotTiles.h"

#include "PanelDecoder.h"
#include "RowLayout.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;

/// k of a dot product.
static constexpr int64_t kDot = 4;

/// What a code of mxfp4 stands for, times 2, plus 12.
static constexpr int8_t kMxfp4Codes[] = {12, 13, 14, 15, 16, 18, 20, 24,
                                         12, 11, 10, 9,  8,  6,  4,  0};

static bool isNibbles(PackFormat format) {
  return format == PackFormat::Q4_0 || format == PackFormat::Mxfp4;
}

bool mlir::moe::hasGroups(PackFormat format) {
  return format != PackFormat::Int8;
}

int64_t mlir::moe::getZeroPoint(const Level &level, PackFormat format) {
  switch (format) {
  case PackFormat::Q4_0:
    return 8;
  case PackFormat::Mxfp4:
    return 12;
  case PackFormat::Int8:
    return level.hasDots || level.hasTiles ? 128 : 0;
  default:
    return level.hasDots ? 128 : 0;
  }
}

double mlir::moe::getUnit(PackFormat format) {
  return format == PackFormat::Mxfp4 ? 0.5 : 1;
}

int64_t mlir::moe::maxDotRows(const Level &level, PackFormat format) {
  // Groups need sums of f32 and of i32 at the same time.
  int64_t accumulators = level.registers * 3 / 4 / (hasGroups(format) ? 2 : 1);
  return level.hasDots ? accumulators / 2 : accumulators;
}

namespace {

/// Emits the loop for the column registers `begin..end`.
class DotLoop {
public:
  DotLoop(KernelBuilder &b, const Level &level, PackFormat format, int64_t rows,
          int64_t begin, int64_t end)
      : level(level), format(format), lanes(level.lanes), rows(rows),
        begin(begin), end(end),
        bytes(VectorType::get({4 * lanes}, b.getI8Type())),
        i32s(VectorType::get({lanes}, b.getI32Type())),
        f32s(VectorType::get({lanes}, b.getF32Type())) {}

  void emit(KernelBuilder &b, const TileArguments &arguments);

private:
  int64_t columns() const { return end - begin; }
  int64_t accumulatorAt(int64_t i) {
    int64_t row = i / columns(), column = begin + i % columns();
    return (row * kPanelColumns + column * lanes) * 4;
  }
  Value splatBytes(KernelBuilder &b, int64_t value) {
    auto attr = DenseElementsAttr::get(bytes, static_cast<int8_t>(value));
    return arith::ConstantOp::create(b, attr);
  }
  Value intrinsic(KernelBuilder &b, Type type, StringRef name,
                  ValueRange operands) {
    return LLVM::CallIntrinsicOp::create(b, type, b.getStringAttr(name),
                                         operands)
        .getResult(0);
  }
  Value dot(KernelBuilder &b, Value sum, Value weights, Value row);
  SmallVector<Value> weights(KernelBuilder &b, Value panel, int64_t at);
  SmallVector<Value> addDots(KernelBuilder &b, Value rowsAt, Value panel,
                             int64_t first, int64_t count,
                             SmallVector<Value> sums);
  SmallVector<Value> step(KernelBuilder &b, Value rowsAt, Value panel,
                          ValueRange sums);

  const Level &level;
  PackFormat format;
  int64_t lanes, rows, begin, end;
  VectorType bytes, i32s, f32s;
};

} // namespace

/// sum + four products in each lane.
Value DotLoop::dot(KernelBuilder &b, Value sum, Value weights, Value row) {
  if (level.hasDots)
    return intrinsic(b, i32s, "llvm.x86.avx512.vpdpbusd.512",
                     {sum, weights, row});
  auto i16s = VectorType::get({2 * lanes}, b.getI16Type());
  // unsigned times signed
  Value first = weights, second = row;
  if (!isNibbles(format)) {
    first = math::AbsIOp::create(b, row);
    second = intrinsic(b, bytes, "llvm.x86.avx2.psign.b", {weights, row});
  }
  Value pairs =
      intrinsic(b, i16s, "llvm.x86.avx2.pmadd.ub.sw", {first, second});
  Value ones = arith::ConstantOp::create(
      b, DenseElementsAttr::get(i16s, static_cast<int16_t>(1)));
  Value quads = intrinsic(b, i32s, "llvm.x86.avx2.pmadd.wd", {pairs, ones});
  return arith::AddIOp::create(b, sum, quads);
}

/// The bytes of one dot product at byte `at` of a panel, or of two, for a
/// register of columns.
SmallVector<Value> DotLoop::weights(KernelBuilder &b, Value panel, int64_t at) {
  Value loaded = b.load(bytes, panel, at, 32);
  if (!isNibbles(format)) {
    if (!level.hasDots)
      loaded = arith::XOrIOp::create(b, loaded, splatBytes(b, -128));
    return {loaded};
  }
  Value words = vector::BitCastOp::create(b, i32s, loaded);
  Value four = arith::ConstantOp::create(b, DenseElementsAttr::get(i32s, 4));
  Value high = vector::BitCastOp::create(
      b, bytes, arith::ShRUIOp::create(b, words, four));
  SmallVector<Value> result;
  for (Value half : {loaded, high}) {
    Value code = arith::AndIOp::create(b, half, splatBytes(b, 15));
    if (format == PackFormat::Mxfp4) {
      SmallVector<int8_t> table;
      for (int64_t i = 0; i < 4 * lanes; ++i)
        table.push_back(kMxfp4Codes[i % 16]);
      Value codes = arith::ConstantOp::create(
          b, DenseElementsAttr::get(bytes, ArrayRef<int8_t>(table)));
      code = intrinsic(b, bytes,
                       lanes == 16 ? "llvm.x86.avx512.pshuf.b.512"
                                   : "llvm.x86.avx2.pshuf.b",
                       {codes, code});
    }
    result.push_back(code);
  }
  return result;
}

/// Adds `count` dot products per row and register of columns, from number
/// `first` of a step on. Rows lie at `rowsAt`.
SmallVector<Value> DotLoop::addDots(KernelBuilder &b, Value rowsAt, Value panel,
                                    int64_t first, int64_t count,
                                    SmallVector<Value> sums) {
  int64_t perLoad = isNibbles(format) ? 2 : 1;
  // Where the words of column `column` are: with scales for rows,
  // [dot][16][4] of columns 0 to 15 and then of the others, as AMX reads them.
  auto wordsAt = [&](int64_t dot, int64_t column) {
    return hasGroups(format)
               ? dot / perLoad * kPanelColumns * kDot + column * kDot
               : column / 16 * 1024 + dot * 64 + column % 16 * kDot;
  };
  for (int64_t d = 0; d < count; d += perLoad) {
    SmallVector<SmallVector<Value>> loaded;
    for (int64_t c = begin; c < end; ++c)
      loaded.push_back(weights(b, panel, wordsAt(first + d, c * lanes)));
    for (int64_t i = 0; i < perLoad; ++i)
      for (int64_t row = 0; row < rows; ++row) {
        Value four =
            b.load(b.getI32Type(), rowsAt, ((d + i) * rows + row) * kDot, 4);
        Value all = vector::BitCastOp::create(
            b, bytes, vector::BroadcastOp::create(b, i32s, four));
        for (int64_t c = 0; c < columns(); ++c) {
          Value &sum = sums[row * columns() + c];
          sum = dot(b, sum, loaded[c][i], all);
        }
      }
  }
  return sums;
}

/// Adds the products of a step of the panel.
SmallVector<Value> DotLoop::step(KernelBuilder &b, Value rowsAt, Value panel,
                                 ValueRange sums) {
  int64_t inputs = PanelGeometry::get(format).stepInputs;
  SmallVector<Value> next(sums);
  if (!hasGroups(format))
    return addDots(b, rowsAt, panel, 0, inputs / kDot, std::move(next));

  constexpr int64_t kDots = kScaleGroup / kDot;
  for (int64_t group = 0; group < inputs / kScaleGroup; ++group) {
    // [dot][row][4], then scales and corrections of the rows
    Value groupAt = b.at(rowsAt, group * rows * kRowGroupBytes);
    SmallVector<Value> dots;
    for (int64_t row = 0; row < rows; ++row) {
      Value correction = b.load(b.getI32Type(), groupAt,
                                rows * (kScaleGroup + 4) + row * 4, 4);
      dots.append(columns(), vector::BroadcastOp::create(b, i32s, correction));
    }
    dots = addDots(b, groupAt, panel, group * kDots, kDots, std::move(dots));
    for (int64_t c = 0; c < columns(); ++c) {
      Value ofColumns =
          loadScales(b, format, lanes, panel, group, (begin + c) * lanes);
      for (int64_t row = 0; row < rows; ++row) {
        Value ofRow =
            b.load(b.getF32Type(), groupAt, rows * kScaleGroup + row * 4, 4);
        Value factor = arith::MulFOp::create(
            b, ofColumns, vector::BroadcastOp::create(b, f32s, ofRow));
        Value exact =
            arith::SIToFPOp::create(b, f32s, dots[row * columns() + c]);
        Value &sum = next[row * columns() + c];
        sum = vector::FMAOp::create(b, exact, factor, sum);
      }
    }
  }
  return next;
}

void DotLoop::emit(KernelBuilder &b, const TileArguments &arguments) {
  PanelGeometry geometry = PanelGeometry::get(format);
  VectorType type = hasGroups(format) ? f32s : i32s;
  int64_t numSums = rows * columns();
  SmallVector<Value> carried(
      loadSums(b, type, arguments, numSums,
               [&](int64_t i) { return accumulatorAt(i); }));
  carried.append(PrefetchState::initial(b, arguments.prefetch));
  int64_t rowBytes = hasGroups(format)
                         ? geometry.stepInputs / kScaleGroup * kRowGroupBytes
                         : geometry.stepInputs;
  // The first walk over the panel prefetches for all.
  bool hasPrefetch = begin == 0;
  ValueRange sums = b.loop(
      b.constant(0), b.div(arguments.count, geometry.stepInputs), b.constant(1),
      carried, [&](KernelBuilder &b, Value i, ValueRange carried) {
        ValueRange state = carried.drop_front(numSums);
        SmallVector<Value> next =
            step(b, b.at(arguments.rows, b.mul(i, rows * rowBytes)),
                 b.at(arguments.panel, b.mul(i, geometry.getStepBytes())),
                 carried.take_front(numSums));
        if (hasPrefetch)
          next.append(PrefetchState::step(b, arguments.prefetch, state));
        else
          next.append(state.begin(), state.end());
        return next;
      });
  for (auto [i, sum] : llvm::enumerate(sums.take_front(numSums)))
    b.store(sum, arguments.acc, accumulatorAt(i), lanes * 4);
}

void mlir::moe::emitDotTile(KernelBuilder &b, const Level &level,
                            PackFormat format, int64_t rows,
                            const TileArguments &arguments) {
  int64_t registers = kPanelColumns / level.lanes;
  int64_t columns = level.hasDots ? registers : 1;
  for (int64_t begin = 0; begin < registers; begin += columns)
    DotLoop(b, level, format, rows, begin, begin + columns).emit(b, arguments);
}

void mlir::moe::emitScale(KernelBuilder &b, const Level &level, Value sums,
                          Value scale, Value correction, Value scales) {
  auto i32s = VectorType::get({level.lanes}, b.getI32Type());
  auto f32s = VectorType::get({level.lanes}, b.getF32Type());
  unsigned alignment = level.lanes * 4;
  Value ofRow =
      vector::BroadcastOp::create(b, f32s, b.load(b.getF32Type(), scale, 0, 4));
  Value added = vector::BroadcastOp::create(
      b, i32s, b.load(b.getI32Type(), correction, 0, 4));
  for (int64_t at = 0; at < kPanelColumns * 4; at += alignment) {
    Value exact =
        arith::AddIOp::create(b, b.load(i32s, sums, at, alignment), added);
    Value factor =
        arith::MulFOp::create(b, b.load(f32s, scales, at, alignment), ofRow);
    Value sum = arith::MulFOp::create(
        b, arith::SIToFPOp::create(b, f32s, exact), factor);
    b.store(sum, sums, at, alignment);
  }
}

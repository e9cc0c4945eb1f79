//===- AmxTiles.cpp - Products in the tile registers of AMX ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AmxTiles.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;

/// Bytes of a register, and of a row of sums.
static constexpr int64_t kRegister = kAmxRows * kAmxBytes,
                         kSumsRow = kPanelColumns * 4;

namespace {

/// Names the intrinsics.
class AmxBuilder {
public:
  explicit AmxBuilder(KernelBuilder &b)
      : b(b), type(LLVM::LLVMX86AMXType::get(b.getContext())) {}

  Value zero() { return call("tilezero", {}); }
  Value load(Value at, int64_t stride) {
    return call("tileloadd64", {at, b.constant(stride)});
  }
  /// A load that does not evict from L1 what is loaded without the hint.
  Value loadOnce(Value at, int64_t stride) {
    return call("tileloaddt164", {at, b.constant(stride)});
  }
  void store(Value at, int64_t stride, Value tile) {
    SmallVector<Value> operands = shape();
    operands.append({at, b.constant(stride), tile});
    LLVM::CallIntrinsicOp::create(
        b, b.getStringAttr("llvm.x86.tilestored64.internal"), operands);
  }
  /// bf16 times bf16, or signed bytes times unsigned ones.
  Value multiply(bool isInt8, Value sums, Value rows, Value weights) {
    SmallVector<Value> operands = shape();
    operands.append({i16(kAmxBytes), sums, rows, weights});
    return LLVM::CallIntrinsicOp::create(
               b, type,
               b.getStringAttr(isInt8 ? "llvm.x86.tdpbsud.internal"
                                      : "llvm.x86.tdpbf16ps.internal"),
               operands)
        .getResult(0);
  }

private:
  Value i16(int64_t value) {
    return arith::ConstantIntOp::create(b, b.getI16Type(), value);
  }
  SmallVector<Value> shape() { return {i16(kAmxRows), i16(kAmxBytes)}; }
  Value call(StringRef name, ValueRange more) {
    SmallVector<Value> operands = shape();
    operands.append(more.begin(), more.end());
    return LLVM::CallIntrinsicOp::create(
               b, type, b.getStringAttr("llvm.x86." + name + ".internal"),
               operands)
        .getResult(0);
  }

  KernelBuilder &b;
  Type type;
};

} // namespace

static void emitRegisters(KernelBuilder &b, PackFormat format,
                          int64_t registers, const TileArguments &arguments) {
  auto sumsAt = [&](KernelBuilder &b, int64_t row, int64_t half) {
    return b.at(arguments.acc, row * kAmxRows * kSumsRow + half * kAmxBytes);
  };
  auto forEachTile = [&](function_ref<Value(int64_t row, int64_t half)> body) {
    SmallVector<Value> tiles;
    for (int64_t row = 0; row < registers; ++row)
      for (int64_t half = 0; half < 2; ++half)
        tiles.push_back(body(row, half));
    return tiles;
  };
  auto start = scf::IfOp::create(
      b, arguments.fresh,
      [&](OpBuilder &nested, Location loc) {
        KernelBuilder b(loc, nested);
        scf::YieldOp::create(b, forEachTile([&](int64_t, int64_t) {
                               return AmxBuilder(b).zero();
                             }));
      },
      [&](OpBuilder &nested, Location loc) {
        KernelBuilder b(loc, nested);
        scf::YieldOp::create(b, forEachTile([&](int64_t row, int64_t half) {
                               return AmxBuilder(b).load(sumsAt(b, row, half),
                                                         kSumsRow);
                             }));
      });

  bool isInt8 = format == PackFormat::Int8;
  int64_t stepK = kAmxBytes / (isInt8 ? 1 : 2);
  size_t numSums = 2 * registers;
  SmallVector<Value> first(start.getResults());
  first.append(PrefetchState::initial(b, arguments.prefetch));
  ValueRange sums = b.loop(
      b.constant(0), b.div(arguments.count, stepK), b.constant(1), first,
      [&](KernelBuilder &b, Value step,
          ValueRange carried) -> SmallVector<Value> {
        AmxBuilder amx(b);
        Value panel = b.at(arguments.panel, b.mul(step, 2 * kRegister));
        Value rows = b.at(arguments.rows, b.mul(step, registers * kRegister));
        // Loads from L1 and L2 take turns: either alone is slower than both.
        Value weights[2];
        SmallVector<Value> tiles, next(numSums);
        auto multiply = [&](int64_t row, int64_t half) {
          int64_t i = 2 * row + half;
          next[i] = amx.multiply(isInt8, carried[i], tiles[row], weights[half]);
        };
        for (int64_t row = 0; row < registers; ++row) {
          tiles.push_back(amx.loadOnce(b.at(rows, row * kRegister), kAmxBytes));
          if (row == 0)
            weights[0] = amx.load(panel, kAmxBytes);
        }
        multiply(0, 0);
        weights[1] = amx.load(b.at(panel, kRegister), kAmxBytes);
        for (int64_t row = 1; row < registers; ++row)
          multiply(row, 0);
        for (int64_t row = 0; row < registers; ++row)
          multiply(row, 1);
        next.append(PrefetchState::step(b, arguments.prefetch,
                                        carried.drop_front(numSums)));
        return next;
      });
  for (auto [i, tile] : llvm::enumerate(sums.take_front(numSums)))
    AmxBuilder(b).store(sumsAt(b, i / 2, i % 2), kSumsRow, tile);
}

//===----------------------------------------------------------------------===//
// Without AMX
//===----------------------------------------------------------------------===//

/// sums + the products of the two bf16, or of the four bytes, in each 32 bits.
static Value multiplyWords(KernelBuilder &b, bool isInt8, Value sums, Value row,
                           Value weights) {
  auto i32s = cast<VectorType>(row.getType());
  auto f32s = VectorType::get(i32s.getShape(), b.getF32Type());
  auto splat = [&](int32_t value) {
    return arith::ConstantOp::create(b, DenseElementsAttr::get(i32s, value));
  };
  if (isInt8) {
    for (int32_t i = 0; i < 4; ++i) {
      Value left = arith::ShLIOp::create(b, row, splat(24 - 8 * i));
      Value element = arith::ShRSIOp::create(b, left, splat(24));
      Value right = arith::ShRUIOp::create(b, weights, splat(8 * i));
      Value weight = arith::AndIOp::create(b, right, splat(255));
      sums = arith::AddIOp::create(b, sums,
                                   arith::MulIOp::create(b, element, weight));
    }
    return sums;
  }
  auto halves = [&](Value words) -> std::array<Value, 2> {
    Value low = arith::ShLIOp::create(b, words, splat(16));
    Value high = arith::AndIOp::create(b, words, splat(0xffff0000));
    return {vector::BitCastOp::create(b, f32s, low),
            vector::BitCastOp::create(b, f32s, high)};
  };
  for (auto [element, weight] : llvm::zip_equal(halves(row), halves(weights)))
    sums = vector::FMAOp::create(b, element, weight, sums);
  return sums;
}

/// What `emitRegisters` computes, a row and a few columns at a time.
static void emitVectors(KernelBuilder &b, const Level &level, PackFormat format,
                        int64_t registers, const TileArguments &arguments) {
  constexpr int64_t kWord = 4;
  bool isInt8 = format == PackFormat::Int8;
  int64_t lanes = level.lanes, stepK = kAmxBytes / (isInt8 ? 1 : 2);
  auto i32s = VectorType::get({lanes}, b.getI32Type());
  auto sumsType = isInt8 ? i32s : VectorType::get({lanes}, b.getF32Type());
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(sumsType));
  Value one = b.constant(1);
  Value steps = b.div(arguments.count, stepK);
  b.loop(
      b.constant(0), b.constant(registers * kAmxRows), one,
      [&](KernelBuilder &b, Value row) {
        for (int64_t column = 0; column < kPanelColumns; column += lanes) {
          Value at =
              b.at(arguments.acc, b.add(b.mul(row, kSumsRow), column * 4));
          Value start = b.select(arguments.fresh, zero,
                                 b.load(sumsType, at, 0, lanes * 4));
          ValueRange sums = b.loop(
              b.constant(0), b.mul(steps, kAmxBytes / kWord), one, start,
              [&](KernelBuilder &b, Value word,
                  ValueRange sums) -> SmallVector<Value> {
                Value step = b.div(word, kAmxBytes / kWord);
                Value inStep = b.rem(word, kAmxBytes / kWord);
                Value rowAt =
                    b.add(b.mul(step, registers * kRegister),
                          b.add(b.mul(row, kAmxBytes), b.mul(inStep, kWord)));
                Value panelAt =
                    b.add(b.mul(step, 2 * kRegister), b.mul(inStep, kAmxBytes));
                Value element = b.load(b.getI32Type(),
                                       b.at(arguments.rows, rowAt), 0, kWord);
                Value weights =
                    b.load(i32s, b.at(arguments.panel, panelAt),
                           column / 16 * kRegister + column % 16 * kWord, 32);
                return {multiplyWords(
                    b, isInt8, sums[0],
                    vector::BroadcastOp::create(b, i32s, element), weights)};
              });
          b.store(sums[0], at, 0, lanes * 4);
        }
      });
}

void mlir::moe::emitAmxTile(KernelBuilder &b, const Level &level,
                            PackFormat format, int64_t registers,
                            const TileArguments &arguments) {
  if (level.emulatesTiles)
    emitVectors(b, level, format, registers, arguments);
  else
    emitRegisters(b, format, registers, arguments);
}

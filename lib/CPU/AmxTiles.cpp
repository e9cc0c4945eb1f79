//===- AmxTiles.cpp - Products in the tile registers of AMX ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AmxTiles.h"

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
  Value multiply(Value sums, Value rows, Value weights) {
    SmallVector<Value> operands = shape();
    operands.append({i16(kAmxBytes), sums, rows, weights});
    return LLVM::CallIntrinsicOp::create(
               b, type, b.getStringAttr("llvm.x86.tdpbf16ps.internal"),
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

void mlir::moe::emitAmxTile(KernelBuilder &b, int64_t registers,
                            const TileArguments &arguments) {
  auto sumsAt = [&](KernelBuilder &b, int64_t row, int64_t half) {
    return b.at(arguments.acc, row * kAmxRows * kSumsRow + half * kAmxBytes);
  };
  scf::IfOp::create(b, arguments.fresh, [&](OpBuilder &nested, Location loc) {
    KernelBuilder b(loc, nested);
    auto f32s = VectorType::get({kAmxBytes / 4}, b.getF32Type());
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(f32s));
    b.loop(b.constant(0), b.constant(registers * kAmxRows), b.constant(1),
           [&](KernelBuilder &b, Value row) {
             Value at = b.at(arguments.acc, b.mul(row, kSumsRow));
             b.store(zero, at, 0, kAmxBytes);
             b.store(zero, at, kAmxBytes, kAmxBytes);
           });
    scf::YieldOp::create(b);
  });
  SmallVector<Value> start;
  for (int64_t row = 0; row < registers; ++row)
    for (int64_t half = 0; half < 2; ++half)
      start.push_back(AmxBuilder(b).load(sumsAt(b, row, half), kSumsRow));

  constexpr int64_t kStepK = kAmxBytes / 2;
  ValueRange sums = b.loop(
      b.constant(0), b.div(arguments.count, kStepK), b.constant(1), start,
      [&](KernelBuilder &b, Value step,
          ValueRange carried) -> SmallVector<Value> {
        Stream ahead = arguments.ahead;
        ahead.line = b.add(ahead.line, b.mul(step, ahead.lines));
        emitPrefetch(b, ahead);
        AmxBuilder amx(b);
        Value panel = b.at(arguments.panel, b.mul(step, 2 * kRegister));
        Value rows = b.at(arguments.rows, b.mul(step, registers * kRegister));
        Value weights[] = {amx.load(panel, kAmxBytes),
                           amx.load(b.at(panel, kRegister), kAmxBytes)};
        SmallVector<Value> next;
        for (int64_t row = 0; row < registers; ++row) {
          Value tile =
              amx.loadOnce(b.at(rows, row * kRegister), kAmxBytes);
          for (int64_t half = 0; half < 2; ++half)
            next.push_back(
                amx.multiply(carried[row * 2 + half], tile, weights[half]));
        }
        return next;
      });
  for (auto [i, tile] : llvm::enumerate(sums))
    AmxBuilder(b).store(sumsAt(b, i / 2, i % 2), kSumsRow, tile);
}

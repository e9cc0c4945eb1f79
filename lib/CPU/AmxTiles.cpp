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

void mlir::moe::emitAmxTile(KernelBuilder &b, PackFormat format,
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
        Value weights[] = {amx.load(panel, kAmxBytes),
                           amx.load(b.at(panel, kRegister), kAmxBytes)};
        SmallVector<Value> tiles, next;
        for (int64_t row = 0; row < registers; ++row)
          tiles.push_back(amx.loadOnce(b.at(rows, row * kRegister), kAmxBytes));
        for (int64_t i = 0; i < 2 * registers; ++i)
          next.push_back(
              amx.multiply(isInt8, carried[i], tiles[i / 2], weights[i % 2]));
        next.append(PrefetchState::step(b, arguments.prefetch,
                                        carried.drop_front(numSums)));
        return next;
      });
  for (auto [i, tile] : llvm::enumerate(sums.take_front(numSums)))
    AmxBuilder(b).store(sumsAt(b, i / 2, i % 2), kSumsRow, tile);
}

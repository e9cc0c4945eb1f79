//===- PanelDecoder.cpp - Packed weights as f32 ---------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// `moe.parameter` describes the formats. Integers times their scales are exact
// in f32, so that it does not matter where they are multiplied.
//
//===----------------------------------------------------------------------===//

#include "PanelDecoder.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;

bool mlir::moe::hasFmaTiles(PackFormat format) {
  return format == PackFormat::F32 || format == PackFormat::BF16;
}

Value mlir::moe::loadScales(KernelBuilder &b, PackFormat format, int64_t lanes,
                            Value panel, int64_t group, int64_t column) {
  int64_t at = PanelGeometry::get(format).elementBytes;
  auto f32s = VectorType::get({lanes}, b.getF32Type());
  if (format != PackFormat::Mxfp4) {
    auto f16s = VectorType::get({lanes}, b.getF16Type());
    return arith::ExtFOp::create(
        b, f32s, b.load(f16s, panel, at + column * 2, lanes * 2));
  }
  // 2^(e - 127): a number without fraction, but for 2^-127, which is subnormal.
  auto i32s = VectorType::get({lanes}, b.getI32Type());
  auto splat = [&](int32_t value) {
    return arith::ConstantOp::create(b, DenseElementsAttr::get(i32s, value));
  };
  auto bytes = VectorType::get({lanes}, b.getI8Type());
  Value exponents = arith::ExtUIOp::create(
      b, i32s,
      b.load(bytes, panel, at + group * kPanelColumns + column, lanes));
  Value bits = arith::MaxUIOp::create(
      b, arith::ShLIOp::create(b, exponents, splat(23)), splat(0x00400000));
  return vector::BitCastOp::create(b, f32s, bits);
}

namespace {

/// Decodes the columns of one register.
class Decoder {
public:
  Decoder(KernelBuilder &b, const Level &level, PackFormat format,
          PackFormat target, int64_t column)
      : format(format), target(target), lanes(level.lanes), column(column),
        i32s(VectorType::get({lanes}, b.getI32Type())),
        f32s(VectorType::get({lanes}, b.getF32Type())) {}

  /// The elements of a step at `panel` go to `to`.
  void step(KernelBuilder &b, Value panel, Value scales, Value to);

private:
  Value splat(KernelBuilder &b, int64_t value) {
    return arith::ConstantOp::create(
        b, DenseElementsAttr::get(i32s, static_cast<int32_t>(value)));
  }
  Value words(KernelBuilder &b, Value panel, int64_t at) {
    return b.load(i32s, panel, at, lanes * 4);
  }
  /// The bits `low..low+width` of each word.
  Value field(KernelBuilder &b, Value words, int64_t low, int64_t width) {
    Value shifted = arith::ShRUIOp::create(b, words, splat(b, low));
    return arith::AndIOp::create(b, shifted, splat(b, (1 << width) - 1));
  }
  Value integer(KernelBuilder &b, Value code, int64_t zeroPoint) {
    return arith::SIToFPOp::create(
        b, f32s, arith::SubIOp::create(b, code, splat(b, zeroPoint)));
  }
  void store(KernelBuilder &b, Value values, Value to, int64_t k) {
    b.store(values, to, (k * kPanelColumns + column) * 4, lanes * 4);
  }
  void storePair(KernelBuilder &b, Value first, Value second, Value to,
                 int64_t k);
  Value e2m1(KernelBuilder &b, Value code);
  Value halves(KernelBuilder &b, Value panel, int64_t at) {
    auto f16s = VectorType::get({lanes}, b.getF16Type());
    return arith::ExtFOp::create(b, f32s, b.load(f16s, panel, at, lanes * 2));
  }

  PackFormat format, target;
  int64_t lanes, column;
  VectorType i32s, f32s;
};

} // namespace

/// What codes of E2M1 stand for (OCP Microscaling Formats 1.0, 5.3.3).
Value Decoder::e2m1(KernelBuilder &b, Value code) {
  Value index = arith::AndIOp::create(b, code, splat(b, 7));
  Value sign = arith::ShLIOp::create(
      b, arith::AndIOp::create(b, code, splat(b, 8)), splat(b, 28));
  auto withSign = [&](Value bits) {
    return vector::BitCastOp::create(b, f32s,
                                     arith::OrIOp::create(b, bits, sign));
  };
  if (lanes < 8) {
    // Too few for a table. Exponent and mantissa are where f32 has its own, but
    // for the bias.
    Value small = withSign(arith::ShLIOp::create(b, index, splat(b, 22)));
    Value unbias =
        arith::ConstantOp::create(b, DenseElementsAttr::get(f32s, 0x1p126f));
    return arith::MulFOp::create(b, small, unbias);
  }
  static constexpr float kMagnitudes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  SmallVector<float> table;
  for (int64_t i = 0; i < lanes; ++i)
    table.push_back(kMagnitudes[i % 8]);
  Value magnitudes = arith::ConstantOp::create(
      b, DenseElementsAttr::get(f32s, ArrayRef<float>(table)));
  auto name = b.getStringAttr(lanes == 16 ? "llvm.x86.avx512.permvar.sf.512"
                                          : "llvm.x86.avx2.permps");
  Value magnitude = LLVM::CallIntrinsicOp::create(b, f32s, name,
                                                  ValueRange{magnitudes, index})
                        .getResult(0);
  return withSign(vector::BitCastOp::create(b, i32s, magnitude));
}

/// Stores the elements of k and k + 1 as the halves of words.
void Decoder::storePair(KernelBuilder &b, Value first, Value second, Value to,
                        int64_t k) {
  Value low = arith::ShRUIOp::create(
      b, vector::BitCastOp::create(b, i32s, first), splat(b, 16));
  Value high = arith::AndIOp::create(
      b, vector::BitCastOp::create(b, i32s, second), splat(b, 0xffff0000));
  // [k / 32][2][k / 2 % 16][16][2]
  int64_t at = (k / 32 * 2 + column / 16) * 1024 + k / 2 % 16 * 64;
  b.store(arith::OrIOp::create(b, low, high), to, at + column % 16 * 4,
          lanes * 4);
}

void Decoder::step(KernelBuilder &b, Value panel, Value scales, Value to) {
  PanelGeometry geometry = PanelGeometry::get(format);
  switch (format) {
  case PackFormat::F32:
  case PackFormat::BF16:
    llvm_unreachable("expected a format that needs to be decoded");
  case PackFormat::F16:
    return store(b, halves(b, panel, column * 2), to, 0);
  case PackFormat::Int8: {
    Value scale = b.load(f32s, scales, column * 4, lanes * 4);
    for (int64_t k = 0; k < 64; k += 4) {
      Value four =
          words(b, panel, column / 16 * 1024 + k / 4 * 64 + column % 16 * 4);
      for (int64_t i = 0; i < 4; ++i) {
        Value value = integer(b, field(b, four, 8 * i, 8), 128);
        store(b, arith::MulFOp::create(b, value, scale), to, k + i);
      }
    }
    return;
  }
  case PackFormat::Q8_0: {
    Value scale = loadScales(b, format, lanes, panel, 0, column);
    for (int64_t k = 0; k < 32; k += 4) {
      Value four = words(b, panel, (k * kPanelColumns) + column * 4);
      for (int64_t i = 0; i < 4; ++i) {
        Value value = integer(b, field(b, four, 8 * i, 8), 128);
        store(b, arith::MulFOp::create(b, value, scale), to, k + i);
      }
    }
    return;
  }
  case PackFormat::Q4_0:
  case PackFormat::Mxfp4:
    for (int64_t k = 0; k < geometry.stepInputs; k += 8) {
      Value eight = words(b, panel, k / 2 * kPanelColumns + column * 4);
      Value scale =
          loadScales(b, format, lanes, panel, k / kScaleGroup, column);
      Value values[8];
      for (int64_t i = 0; i < 8; ++i) {
        // The low halves are k to k+3, the high ones k+4 to k+7.
        Value code = field(b, eight, i % 4 * 8 + i / 4 * 4, 4);
        Value value =
            format == PackFormat::Q4_0 ? integer(b, code, 8) : e2m1(b, code);
        values[i] = arith::MulFOp::create(b, value, scale);
      }
      for (int64_t i = 0; i < 8; i += 2) {
        if (target == PackFormat::BF16) {
          storePair(b, values[i], values[i + 1], to, k + i);
          continue;
        }
        store(b, values[i], to, k + i);
        store(b, values[i + 1], to, k + i + 1);
      }
    }
    return;
  }
}

void mlir::moe::emitDecode(KernelBuilder &b, const Level &level,
                           PackFormat format, PackFormat target, Value panel,
                           Value scales, Value count, Value to) {
  PanelGeometry geometry = PanelGeometry::get(format);
  PanelGeometry decoded = PanelGeometry::get(target);
  int64_t bytes =
      geometry.stepInputs * decoded.getStepBytes() / decoded.stepInputs;
  b.loop(
      b.constant(0), b.div(count, geometry.stepInputs), b.constant(1),
      [&](KernelBuilder &b, Value i) {
        Value from = b.at(panel, b.mul(i, geometry.getStepBytes()));
        Value at = b.at(to, b.mul(i, bytes));
        for (int64_t column = 0; column < kPanelColumns; column += level.lanes)
          Decoder(b, level, format, target, column).step(b, from, scales, at);
      });
}

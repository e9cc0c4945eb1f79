//===- PanelDecoder.cpp - Packed weights as floats ------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// `moe.parameter` describes the formats. Integers times their scales are exact
// in f32, so that it does not matter where they are multiplied.
//
//===----------------------------------------------------------------------===//

#include "PanelDecoder.h"

#include "RowLayout.h"
#include "Vectors.h"

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
  Decoder(KernelBuilder &b, const Level &level, const RowLayout &layout,
          int64_t column)
      : level(level), layout(layout), format(layout.getFormat()),
        lanes(level.lanes), column(column),
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
  /// Whether f32 and bf16 alike hold what is stored.
  bool isExact() const {
    return layout.getCompute() == Compute::F32 || format == PackFormat::Mxfp4;
  }
  Value rounded(KernelBuilder &b, Value values) {
    return isExact()
               ? values
               : vector::BitCastOp::create(b, f32s, roundToBF16(b, values));
  }
  void store(KernelBuilder &b, Value values, Value to, int64_t k) {
    b.store(values, to, (k * kPanelColumns + column) * 4, lanes * 4);
  }
  void storePair(KernelBuilder &b, Value first, Value second, Value to,
                 int64_t k);
  void storeScaled(KernelBuilder &b, ArrayRef<Value> values, Value scale,
                   Value to, int64_t k);
  Value lookUp(KernelBuilder &b, ArrayRef<float> table, Value index);
  Value nibble(KernelBuilder &b, Value words, int64_t low);
  Value e2m1(KernelBuilder &b, Value code);
  Value halves(KernelBuilder &b, Value panel, int64_t at) {
    auto f16s = VectorType::get({lanes}, b.getF16Type());
    return arith::ExtFOp::create(b, f32s, b.load(f16s, panel, at, lanes * 2));
  }

  const Level &level;
  const RowLayout &layout;
  PackFormat format;
  int64_t lanes, column;
  VectorType i32s, f32s;
};

} // namespace

/// `table[index]`; bits of the index beyond the table's size are ignored.
Value Decoder::lookUp(KernelBuilder &b, ArrayRef<float> table, Value index) {
  Value values =
      arith::ConstantOp::create(b, DenseElementsAttr::get(f32s, table));
  auto name = b.getStringAttr(lanes == 16 ? "llvm.x86.avx512.permvar.sf.512"
                                          : "llvm.x86.avx2.permps");
  return LLVM::CallIntrinsicOp::create(b, f32s, name, ValueRange{values, index})
      .getResult(0);
}

/// What codes of E2M1 stand for (OCP Microscaling Formats 1.0, 5.3.3).
static constexpr float kE2M1[] = {0,   0.5,  1,  1.5,  2,  3,  4,  6,
                                  -0., -0.5, -1, -1.5, -2, -3, -4, -6};

/// What the codes in bits `low..low+4` of each word stand for.
Value Decoder::nibble(KernelBuilder &b, Value words, int64_t low) {
  if (lanes < 16) {
    Value code = field(b, words, low, 4);
    return format == PackFormat::Q4_0 ? integer(b, code, 8) : e2m1(b, code);
  }
  static constexpr float kQ4[] = {-8, -7, -6, -5, -4, -3, -2, -1,
                                  0,  1,  2,  3,  4,  5,  6,  7};
  Value code = b.createOrFold<arith::ShRUIOp>(words, splat(b, low));
  return lookUp(b, format == PackFormat::Q4_0 ? kQ4 : kE2M1, code);
}

/// The same of E2M1 for registers of 8 lanes, magnitudes and signs, or less.
Value Decoder::e2m1(KernelBuilder &b, Value code) {
  Value sign = arith::ShLIOp::create(
      b, arith::AndIOp::create(b, code, splat(b, 8)), splat(b, 28));
  auto withSign = [&](Value bits) {
    return vector::BitCastOp::create(b, f32s,
                                     arith::OrIOp::create(b, bits, sign));
  };
  if (lanes < 8) {
    // Too few for a table. Exponent and mantissa are where f32 has its own, but
    // for the bias.
    Value low = arith::AndIOp::create(b, code, splat(b, 7));
    Value small = withSign(arith::ShLIOp::create(b, low, splat(b, 22)));
    Value unbias =
        arith::ConstantOp::create(b, DenseElementsAttr::get(f32s, 0x1p126f));
    return arith::MulFOp::create(b, small, unbias);
  }
  Value magnitude = lookUp(b, ArrayRef(kE2M1).take_front(8), code);
  return withSign(vector::BitCastOp::create(b, i32s, magnitude));
}

/// Stores the elements of k and k + 1 as the halves of words, rounded to bf16.
void Decoder::storePair(KernelBuilder &b, Value first, Value second, Value to,
                        int64_t k) {
  // [k / 32][2][k / 2 % 16][16][2]
  int64_t at = (k / 32 * 2 + column / 16) * 1024 + k / 2 % 16 * 64;
  Value pairs;
  if (isExact() || level.emulatesTiles) {
    auto word = [&](Value values) -> Value {
      return isExact() ? vector::BitCastOp::create(b, i32s, values)
                       : roundToBF16(b, values);
    };
    Value low = arith::ShRUIOp::create(b, word(first), splat(b, 16));
    Value high = arith::AndIOp::create(b, word(second), splat(b, 0xffff0000));
    pairs = arith::OrIOp::create(b, low, high);
  } else {
    auto bf16s = VectorType::get({2 * lanes}, b.getBF16Type());
    auto name = b.getStringAttr("llvm.x86.avx512bf16.cvtne2ps2bf16.512");
    Value halves =
        LLVM::CallIntrinsicOp::create(b, bf16s, name, ValueRange{second, first})
            .getResult(0);
    SmallVector<int64_t> order;
    for (int64_t lane = 0; lane < lanes; ++lane)
      order.append({lane, lanes + lane});
    pairs = vector::ShuffleOp::create(b, halves, halves, order);
  }
  b.store(pairs, to, at + column % 16 * 4, lanes * 4);
}

/// Stores the elements of k, k + 1, ...: an even number of values, scaled.
void Decoder::storeScaled(KernelBuilder &b, ArrayRef<Value> values, Value scale,
                          Value to, int64_t k) {
  for (size_t i = 0; i < values.size(); i += 2) {
    Value first = arith::MulFOp::create(b, values[i], scale);
    Value second = arith::MulFOp::create(b, values[i + 1], scale);
    if (layout.isAmx()) {
      storePair(b, first, second, to, k + i);
      continue;
    }
    store(b, rounded(b, first), to, k + i);
    store(b, rounded(b, second), to, k + i + 1);
  }
}

void Decoder::step(KernelBuilder &b, Value panel, Value scales, Value to) {
  PanelGeometry geometry = PanelGeometry::get(format);
  switch (format) {
  case PackFormat::F32:
  case PackFormat::BF16:
    llvm_unreachable("expected a format that needs to be decoded");
  case PackFormat::F16:
    return store(b, halves(b, panel, column * 2), to, 0);
  case PackFormat::Int8:
  case PackFormat::Q8_0: {
    bool isInt8 = format == PackFormat::Int8;
    Value scale = isInt8 ? b.load(f32s, scales, column * 4, lanes * 4)
                         : loadScales(b, format, lanes, panel, 0, column);
    for (int64_t k = 0; k < geometry.stepInputs; k += 4) {
      int64_t at = isInt8 ? column / 16 * 1024 + k / 4 * 64 + column % 16 * 4
                          : k * kPanelColumns + column * 4;
      Value four = words(b, panel, at);
      Value values[4];
      for (int64_t i = 0; i < 4; ++i)
        values[i] = integer(b, field(b, four, 8 * i, 8), 128);
      storeScaled(b, values, scale, to, k);
    }
    return;
  }
  case PackFormat::Q4_0:
  case PackFormat::Mxfp4:
    for (int64_t group = 0; group < geometry.stepInputs; group += kScaleGroup) {
      Value scale =
          loadScales(b, format, lanes, panel, group / kScaleGroup, column);
      for (int64_t k = group; k < group + kScaleGroup; k += 8) {
        Value eight = words(b, panel, k / 2 * kPanelColumns + column * 4);
        // The low halves are k to k+3, the high ones k+4 to k+7.
        Value values[8];
        for (int64_t i = 0; i < 8; ++i)
          values[i] = nibble(b, eight, i % 4 * 8 + i / 4 * 4);
        storeScaled(b, values, scale, to, k);
      }
    }
    return;
  }
}

void mlir::moe::emitDecode(KernelBuilder &b, const Level &level,
                           const RowLayout &layout, Value panel, Value scales,
                           Value count, Value to, const Prefetch &prefetch) {
  PanelGeometry geometry = PanelGeometry::get(layout.getFormat());
  int64_t bytes =
      geometry.stepInputs * kPanelColumns * layout.getDecodedBytes();
  b.loop(b.constant(0), b.div(count, geometry.stepInputs), b.constant(1),
         PrefetchState::initial(b, prefetch),
         [&](KernelBuilder &b, Value i, ValueRange state) {
           Value from = b.at(panel, b.mul(i, geometry.getStepBytes()));
           Value at = b.at(to, b.mul(i, bytes));
           for (int64_t column = 0; column < kPanelColumns;
                column += level.lanes)
             Decoder(b, level, layout, column).step(b, from, scales, at);
           return PrefetchState::step(b, prefetch, state);
         });
}

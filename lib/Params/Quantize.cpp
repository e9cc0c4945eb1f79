//===- Quantize.cpp - Encodes columns of packed weights -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A column is encoded 32 elements at a time, in loops of that length that
// compilers vectorise: magnitudes are compared as integers, and sums have
// several partial ones.
//
//===----------------------------------------------------------------------===//

#include "moe/Params/Quantize.h"
#include "moe/Params/SmallFloats.h"

#include "llvm/ADT/bit.h"

#include <cmath>
#include <cstring>
#include <limits>

using namespace mlir;
using namespace mlir::moe;

static constexpr int kGroup = kScaleGroup;

/// The least normal number of f16, below which it has fewer digits.
static constexpr float kLeastF16 = 0x1p-14f;

float mlir::moe::getLimit(PackFormat format) {
  // From here on, to the nearest f16 is infinity.
  constexpr float kHalf = 65520;
  switch (format) {
  case PackFormat::BF16:
    return 0x1.ffp127f;
  case PackFormat::F16:
    return kHalf;
  case PackFormat::Q8_0:
    return kHalf * 127;
  case PackFormat::Q4_0:
    return kHalf * 8;
  case PackFormat::F32:
  case PackFormat::Int8:
  case PackFormat::Mxfp4:
    return std::numeric_limits<float>::infinity();
  }
  llvm_unreachable("expected a format");
}

//===----------------------------------------------------------------------===//
// Measuring
//===----------------------------------------------------------------------===//

/// The bits of a magnitude, which are in the order of the magnitudes.
static int32_t getMagnitude(float value) {
  return llvm::bit_cast<int32_t>(value) & 0x7fffffff;
}

static float getLargest(const float *values, int64_t count) {
  int32_t largest = 0;
  for (int64_t i = 0; i < count; ++i)
    largest = std::max(largest, getMagnitude(values[i]));
  return llvm::bit_cast<float>(largest);
}

/// Adds up a group that became `decoded`, relative to `unit`.
static void measure(const float *values, const float *decoded, float unit,
                    Deviation &deviation) {
  constexpr int kLanes = 4;
  double squares[kLanes] = {}, total[kLanes] = {};
  int32_t largest = 0;
  for (int i = 0; i < kGroup; i += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) {
      double value = values[i + lane], error = decoded[i + lane] - value;
      squares[lane] += error * error;
      total[lane] += value * value;
      largest = std::max(largest, getMagnitude(float(error)));
    }
  for (int lane = 0; lane < kLanes; ++lane) {
    deviation.squares += squares[lane];
    deviation.total += total[lane];
  }
  deviation.largest = std::max(deviation.largest,
                               double(llvm::bit_cast<float>(largest)) / unit);
}

/// The same for elements without a scale, each relative to itself.
static void measureEach(const float *values, const float *decoded, float least,
                        Deviation &deviation) {
  for (int i = 0; i < kGroup; ++i) {
    double value = values[i], error = decoded[i] - value;
    deviation.squares += error * error;
    deviation.total += value * value;
    deviation.largest =
        std::max(deviation.largest,
                 std::fabs(error) / std::max(std::fabs(value), double(least)));
  }
}

//===----------------------------------------------------------------------===//
// Groups of elements
//===----------------------------------------------------------------------===//

/// To the nearest integer, the even one of two; for magnitudes below 2^22.
static int32_t roundToEven(float value) {
  constexpr float kMagic = 0x1.8p23f;
  return llvm::bit_cast<int32_t>(value + kMagic) -
         llvm::bit_cast<int32_t>(kMagic);
}

/// To the nearest integer, of two the one farther from 0, as roundf; for
/// magnitudes below 2^31.
static int32_t roundAway(float value) {
  int32_t whole = int32_t(value);
  float rest = value - float(whole);
  return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

/// 1 / scale, or 0 where that is not finite.
static float invert(float scale) {
  float inverse = 1 / scale;
  return std::isfinite(inverse) ? inverse : 0;
}

/// Writes a scale of f16 and returns what it stands for.
static float writeScale(float scale, char *out) {
  uint16_t bits = roundToF16(scale);
  std::memcpy(out, &bits, sizeof(bits));
  return llvm::bit_cast<float>(expandF16(bits));
}

/// Two codes of 4 bits in a byte: those that are 4 apart.
static void writeNibbles(const uint8_t *codes, char *out) {
  for (int r = 0; r < kGroup / 8; ++r)
    for (int j = 0; j < 4; ++j)
      out[4 * r + j] = char(codes[8 * r + j] | codes[8 * r + 4 + j] << 4);
}

static void encodeBF16(const float *values, char *elements,
                       Deviation &deviation) {
  float decoded[kGroup];
  for (int i = 0; i < kGroup; ++i) {
    uint16_t bits = roundToBF16(values[i]);
    std::memcpy(elements + 2 * i, &bits, sizeof(bits));
    decoded[i] = llvm::bit_cast<float>(uint32_t(bits) << 16);
  }
  measureEach(values, decoded, 0x1p-126f, deviation);
}

static void encodeF16(const float *values, char *elements,
                      Deviation &deviation) {
  float decoded[kGroup];
  for (int i = 0; i < kGroup; ++i) {
    uint16_t bits = roundToF16(values[i]);
    std::memcpy(elements + 2 * i, &bits, sizeof(bits));
    decoded[i] = llvm::bit_cast<float>(expandF16(bits));
  }
  measureEach(values, decoded, kLeastF16, deviation);
}

static void encodeInt8(const float *values, char *elements, float scale,
                       Deviation &deviation) {
  float divisor = scale > 0 ? scale : std::numeric_limits<float>::infinity();
  float decoded[kGroup];
  for (int i = 0; i < kGroup; ++i) {
    int32_t q = std::clamp(roundToEven(values[i] / divisor), -127, 127);
    elements[i] = char(q + 128);
    decoded[i] = float(q) * scale;
  }
  measure(values, decoded, 127 * std::max(scale, 0x1p-126f), deviation);
}

static void encodeQ8_0(const float *values, char *elements, char *scale,
                       Deviation &deviation) {
  float largest = getLargest(values, kGroup);
  float inverse = invert(largest / 127);
  float rounded = writeScale(largest / 127, scale);
  float decoded[kGroup];
  for (int i = 0; i < kGroup; ++i) {
    int32_t q = roundAway(values[i] * inverse);
    elements[i] = char(q + 128);
    decoded[i] = float(q) * rounded;
  }
  measure(values, decoded, std::max(largest, 127 * kLeastF16), deviation);
}

static void encodeQ4_0(const float *values, char *elements, char *scale,
                       Deviation &deviation) {
  float largest = getLargest(values, kGroup);
  int first = kGroup;
  for (int i = 0; i < kGroup; ++i)
    first = std::min(first, std::fabs(values[i]) == largest ? i : kGroup);
  float inverse = invert(values[first] / -8);
  float rounded = writeScale(values[first] / -8, scale);
  uint8_t codes[kGroup];
  float decoded[kGroup];
  for (int i = 0; i < kGroup; ++i) {
    // ggml rounds the product before it adds: no fused multiply-add.
    float scaled = values[i] * inverse;
    int32_t q = std::min(15, int32_t(scaled + 8.5f));
    codes[i] = uint8_t(q);
    decoded[i] = float(q - 8) * rounded;
  }
  writeNibbles(codes, elements);
  measure(values, decoded, std::max(largest, 8 * kLeastF16), deviation);
}

static void encodeMxfp4(const float *values, char *elements, char *scale,
                        Deviation &deviation) {
  float largest = getLargest(values, kGroup);
  // The scale 2^(s - 127) has the byte s, as exponents of f32 have; the largest
  // code is 6, that is 1.5 * 2^2.
  int exponent = std::max(getMagnitude(largest) >> 23, 2) - 2;
  *scale = char(exponent);
  float unit = std::ldexp(1.0f, exponent - 127);
  float inverse = std::ldexp(1.0f, 127 - exponent);
  uint8_t codes[kGroup];
  float decoded[kGroup];
  for (int i = 0; i < kGroup; ++i) {
    float m = std::fabs(values[i]) * inverse;
    // Each bound is the middle between two neighbours, and belongs to the one
    // whose code is even.
    int halves = (m > 0.25f) + (m >= 0.75f) + (m > 1.25f) + (m >= 1.75f);
    int ones = (m > 2.5f) + (m >= 3.5f), twos = m > 5.0f;
    int sign = int(llvm::bit_cast<uint32_t>(values[i]) >> 31);
    codes[i] = uint8_t(halves + ones + twos + 8 * sign);
    float magnitude = 0.5f * float(halves + 2 * ones + 4 * twos);
    decoded[i] = std::copysign(magnitude * unit, values[i]);
  }
  writeNibbles(codes, elements);
  measure(values, decoded, std::max(largest, 4 * 0x1p-126f), deviation);
}

//===----------------------------------------------------------------------===//
// Columns
//===----------------------------------------------------------------------===//

void mlir::moe::encodeColumn(PackFormat format, ArrayRef<float> values,
                             char *elements, char *scales,
                             Deviation &deviation) {
  PanelGeometry panel = PanelGeometry::get(format);
  int64_t groupBytes =
      panel.elementBytes / kPanelColumns * kGroup / panel.stepInputs;
  float columnScale = 0;
  if (format == PackFormat::Int8) {
    columnScale = getLargest(values.data(), values.size()) / 127;
    std::memcpy(scales, &columnScale, sizeof(columnScale));
  }
  for (; !values.empty(); values = values.drop_front(kGroup)) {
    switch (format) {
    case PackFormat::F32:
      std::memcpy(elements, values.data(), groupBytes);
      break;
    case PackFormat::BF16:
      encodeBF16(values.data(), elements, deviation);
      break;
    case PackFormat::F16:
      encodeF16(values.data(), elements, deviation);
      break;
    case PackFormat::Int8:
      encodeInt8(values.data(), elements, columnScale, deviation);
      break;
    case PackFormat::Q8_0:
      encodeQ8_0(values.data(), elements, scales, deviation);
      scales += sizeof(uint16_t);
      break;
    case PackFormat::Q4_0:
      encodeQ4_0(values.data(), elements, scales, deviation);
      scales += sizeof(uint16_t);
      break;
    case PackFormat::Mxfp4:
      encodeMxfp4(values.data(), elements, scales, deviation);
      scales += sizeof(uint8_t);
      break;
    }
    elements += groupBytes;
  }
}

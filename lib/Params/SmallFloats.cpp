//===- SmallFloats.cpp - Conversions of floats of few bits ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/Params/SmallFloats.h"

#include "llvm/ADT/bit.h"

#include <array>
#include <cmath>
#include <limits>

/// Values of the codes 0 to 7; bit 3 is the sign.
static constexpr float kE2M1[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};

/// The scale that makes NaN.
static constexpr int kScaleNaN = 255;

using Table = std::array<std::array<uint16_t, 16>, 256>;

static Table makeTable() {
  Table table;
  for (int scale = 0; scale < 256; ++scale)
    for (int code = 0; code < 16; ++code) {
      float value = scale == kScaleNaN
                        ? std::numeric_limits<float>::quiet_NaN()
                        : std::ldexp(kE2M1[code % 8], scale - 127);
      uint32_t bits = llvm::bit_cast<uint32_t>(code < 8 ? value : -value);
      // The low half is zero: bf16 holds these values.
      table[scale][code] = bits >> 16;
    }
  return table;
}

uint16_t mlir::moe::expandMxfp4(uint8_t code, uint8_t scale) {
  static const Table table = makeTable();
  return table[scale][code];
}

float mlir::moe::expandE4M3(uint8_t code) {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> table;
    for (int code = 0; code < 256; ++code) {
      int exponent = code >> 3 & 15, fraction = code & 7;
      float magnitude = exponent == 0
                            ? std::ldexp(float(fraction), -9)
                            : std::ldexp(8.0f + float(fraction), exponent - 10);
      if ((code & 0x7f) == 0x7f)
        magnitude = std::numeric_limits<float>::quiet_NaN();
      table[code] = code < 128 ? magnitude : -magnitude;
    }
    return table;
  }();
  return table[code];
}

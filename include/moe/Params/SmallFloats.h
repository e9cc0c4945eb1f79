//===- SmallFloats.h - Conversions of floats of few bits --------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Expansions are exact, up to the overflow that `moe.parameter` describes.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_PARAMS_SMALLFLOATS_H
#define MOE_PARAMS_SMALLFLOATS_H

#include "llvm/ADT/bit.h"

#include <cstdint>

namespace mlir::moe {

/// The bits of the bf16 that the 4-bit float `code` (E2M1) stands for in a
/// group with this scale (E8M0).
uint16_t expandMxfp4(uint8_t code, uint8_t scale);

/// What an 8-bit float (E4M3, of which 0x7f and 0xff are NaN) stands for.
float expandE4M3(uint8_t code);

/// The bits of the f32 that equals a f16.
inline uint32_t expandF16(uint16_t bits) {
  // With its exponent read as one of f32, the number is 2^112 times too small;
  // this holds for the subnormal ones, too.
  float small = llvm::bit_cast<float>(uint32_t(bits & 0x7fff) << 13);
  uint32_t magnitude = llvm::bit_cast<uint32_t>(small * 0x1p112f);
  bool isFinite = (bits & 0x7c00) != 0x7c00;
  return magnitude | (isFinite ? 0 : 0x7f800000) |
         uint32_t(bits & 0x8000) << 16;
}

/// The bits of the nearest f16, of two the even one.
inline uint16_t roundToF16(float value) {
  uint32_t bits = llvm::bit_cast<uint32_t>(value);
  uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  uint32_t isOdd = magnitude >> 13 & 1;
  uint32_t normal = (magnitude - 0x38000000 + 0xfff + isOdd) >> 13;
  // Below 2^-14 a multiple of 2^-24, as the sum is.
  float sum = llvm::bit_cast<float>(magnitude) + 0.5f;
  uint32_t subnormal = llvm::bit_cast<uint32_t>(sum) - 0x3f000000;
  uint32_t result = magnitude < 0x38800000 ? subnormal : normal;
  // From 65520 on, 2^16 is nearer than 65504.
  result = magnitude < 0x477ff000 ? result : 0x7c00;
  result = magnitude <= 0x7f800000 ? result : 0x7e00; // NaN
  return sign | result;
}

/// The bits of the nearest bf16, of two the even one.
inline uint16_t roundToBF16(float value) {
  uint32_t bits = llvm::bit_cast<uint32_t>(value);
  uint32_t isOdd = bits >> 16 & 1;
  uint32_t result = (bits + 0x7fff + isOdd) >> 16;
  return (bits & 0x7fffffff) <= 0x7f800000 ? result : 0x7fc0; // NaN
}

} // namespace mlir::moe

#endif // MOE_PARAMS_SMALLFLOATS_H

//===- SmallFloats.h - Expands floats of 4 and 16 bits ----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Both expansions are exact, up to the overflow that `moe.parameter` describes.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_PARAMS_SMALLFLOATS_H
#define MOE_PARAMS_SMALLFLOATS_H

#include <cstdint>

namespace mlir::moe {

/// The bits of the bf16 that the 4-bit float `code` (E2M1) stands for in a
/// group with this scale (E8M0).
uint16_t expandMxfp4(uint8_t code, uint8_t scale);

/// The bits of the f32 that equals a f16.
uint32_t expandF16(uint16_t bits);

} // namespace mlir::moe

#endif // MOE_PARAMS_SMALLFLOATS_H

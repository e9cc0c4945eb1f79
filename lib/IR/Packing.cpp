//===- Packing.cpp - The geometry of packed weights -----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/IR/Packing.h"

using namespace mlir;
using namespace mlir::moe;

PanelGeometry PanelGeometry::get(PackFormat format) {
  switch (format) {
  case PackFormat::F32:
    return {1, 4 * kPanelColumns, 0, 0, 4, 32};
  case PackFormat::BF16:
    return {32, 2 * 32 * kPanelColumns, 0, 0, 4, 16};
  case PackFormat::F16:
    return {1, 2 * kPanelColumns, 0, 0, 2, 32};
  case PackFormat::Int8:
    return {64, 64 * kPanelColumns, 0, 4 * kPanelColumns, 4, 16};
  case PackFormat::Q8_0:
    return {32, 32 * kPanelColumns, 2 * kPanelColumns, 0, 4, 32};
  case PackFormat::Q4_0:
    return {32, 32 / 2 * kPanelColumns, 2 * kPanelColumns, 0, 4, 32};
  case PackFormat::Mxfp4:
    return {64, 64 / 2 * kPanelColumns, 2 * kPanelColumns, 0, 4, 32};
  }
  llvm_unreachable("expected a format");
}

bool mlir::moe::isByteFormat(PackFormat format) {
  return format != PackFormat::F32 && format != PackFormat::BF16 &&
         format != PackFormat::F16;
}

PackFormat mlir::moe::getOwnFormat(Type element) {
  if (element.isF32())
    return PackFormat::F32;
  return element.isBF16() ? PackFormat::BF16 : PackFormat::F16;
}

double mlir::moe::getErrorBound(PackFormat format) {
  // What rounding of a scale to f16 does to a code of this magnitude.
  constexpr double kScale = 0x1p-11;
  switch (format) {
  case PackFormat::F32:
    return 0;
  case PackFormat::BF16:
    return 0x1p-8;
  case PackFormat::F16:
    return 0x1p-11;
  case PackFormat::Int8:
    return 0.501 / 127;
  case PackFormat::Q8_0:
    return (0.501 + 127 * kScale) / 127;
  case PackFormat::Q4_0:
    // The extreme is -8 of its scale, and what is nearly its opposite is 7.
    return (1.001 + 8 * kScale) / 8;
  case PackFormat::Mxfp4:
    // Nearly 8 of the scale becomes 6.
    return 2.0 / 8;
  }
  llvm_unreachable("expected a format");
}

bool mlir::moe::isComputable(std::optional<PackFormat> format,
                             Compute compute) {
  switch (compute) {
  case Compute::F32:
    return true;
  case Compute::BF16:
    return format == PackFormat::BF16 || (format && isByteFormat(*format));
  case Compute::Int8:
    return format && isByteFormat(*format);
  }
  llvm_unreachable("expected a type to compute in");
}

RankedTensorType mlir::moe::getPackedType(PackFormat format,
                                          RankedTensorType matrices,
                                          int numSources) {
  ArrayRef<int64_t> shape = matrices.getShape();
  int64_t out = shape[shape.size() - 2], in = shape.back();
  SmallVector<int64_t> packed(shape.drop_back(2));
  packed.push_back(llvm::divideCeil(out, kPanelColumns / numSources));
  Builder b(matrices.getContext());
  PanelGeometry panel = PanelGeometry::get(format);
  switch (format) {
  case PackFormat::F32:
    packed.append({in, kPanelColumns});
    return RankedTensorType::get(packed, b.getF32Type());
  case PackFormat::BF16:
    packed.append({panel.getNumSteps(in), 2, 16, 16, 2});
    return RankedTensorType::get(packed, b.getBF16Type());
  case PackFormat::F16:
    packed.append({in, kPanelColumns});
    return RankedTensorType::get(packed, b.getF16Type());
  default:
    packed.push_back(panel.getPanelBytes(in));
    return RankedTensorType::get(packed, b.getI8Type());
  }
}

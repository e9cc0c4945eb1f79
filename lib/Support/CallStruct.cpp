//===- CallStruct.cpp - The call that an entry serves, in IR --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/Support/CallStruct.h"

#include "mlir/Conversion/LLVMCommon/TypeConverter.h"

using namespace mlir;
using namespace mlir::moe;

Value mlir::moe::loadCallField(ImplicitLocOpBuilder &b, Value call,
                               CallField field) {
  Type pointer = LLVM::LLVMPointerType::get(b.getContext());
  Type type = field == CallField::Threads ? b.getI64Type() : pointer;
  Value member =
      LLVM::GEPOp::create(b, pointer, b.getI64Type(), call,
                          ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(field)});
  return LLVM::LoadOp::create(b, type, member, /*alignment=*/0,
                              /*isVolatile=*/false, /*isNonTemporal=*/false,
                              /*isInvariant=*/true);
}

Value mlir::moe::memrefAt(ImplicitLocOpBuilder &b, MemRefType type,
                          Value pointer) {
  LLVMTypeConverter converter(b.getContext());
  auto descriptor = cast<LLVM::LLVMStructType>(converter.convertType(type));
  Type i64 = b.getI64Type();
  auto constant = [&](int64_t value) -> Value {
    return LLVM::ConstantOp::create(b, i64, b.getI64IntegerAttr(value));
  };
  Value result = LLVM::PoisonOp::create(b, descriptor);
  auto set = [&](Value value, ArrayRef<int64_t> position) {
    result = LLVM::InsertValueOp::create(b, result, value, position);
  };
  set(pointer, {0});
  set(pointer, {1});
  set(constant(0), {2});
  int64_t stride = 1;
  for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
    int64_t extent = type.isDynamicDim(dim) ? 0 : type.getDimSize(dim);
    set(constant(extent), {3, dim});
    set(constant(stride), {4, dim});
    stride *= extent;
  }
  return UnrealizedConversionCastOp::create(b, TypeRange{type},
                                            ValueRange{result})
      .getResult(0);
}

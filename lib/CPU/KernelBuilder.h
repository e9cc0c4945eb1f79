//===- KernelBuilder.h - Short names for code on pointers -------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Kernels work on pointers and 64-bit integers, so that the address of each
// load is what it will be in the assembly: a register and a constant.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_KERNELBUILDER_H
#define MOE_LIB_CPU_KERNELBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::moe {

class KernelBuilder : public ImplicitLocOpBuilder {
public:
  using ImplicitLocOpBuilder::ImplicitLocOpBuilder;

  Type pointerType() { return LLVM::LLVMPointerType::get(getContext()); }

  Value constant(int64_t value) {
    return arith::ConstantIntOp::create(*this, getI64Type(), value);
  }
  Value add(Value x, Value y) { return createOrFold<arith::AddIOp>(x, y); }
  Value add(Value x, int64_t y) { return add(x, constant(y)); }
  Value sub(Value x, Value y) { return createOrFold<arith::SubIOp>(x, y); }
  Value mul(Value x, Value y) { return createOrFold<arith::MulIOp>(x, y); }
  Value mul(Value x, int64_t y) { return mul(x, constant(y)); }
  Value min(Value x, Value y) { return createOrFold<arith::MinUIOp>(x, y); }
  Value max(Value x, Value y) { return createOrFold<arith::MaxUIOp>(x, y); }
  Value div(Value x, Value y) { return createOrFold<arith::DivUIOp>(x, y); }
  Value div(Value x, int64_t y) { return div(x, constant(y)); }
  Value rem(Value x, Value y) { return createOrFold<arith::RemUIOp>(x, y); }
  Value rem(Value x, int64_t y) { return rem(x, constant(y)); }
  Value less(Value x, Value y) {
    return createOrFold<arith::CmpIOp>(arith::CmpIPredicate::ult, x, y);
  }
  Value equal(Value x, int64_t y) {
    return createOrFold<arith::CmpIOp>(arith::CmpIPredicate::eq, x,
                                       constant(y));
  }
  Value select(Value condition, Value x, Value y) {
    return createOrFold<arith::SelectOp>(condition, x, y);
  }

  /// `base + bytes`
  Value at(Value base, Value bytes) {
    return LLVM::GEPOp::create(*this, pointerType(), getI8Type(), base,
                               ArrayRef<LLVM::GEPArg>{bytes});
  }
  Value at(Value base, int64_t bytes) {
    return LLVM::GEPOp::create(
        *this, pointerType(), getI8Type(), base,
        ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(bytes)});
  }
  Value load(Type type, Value base, int64_t bytes, unsigned alignment) {
    return LLVM::LoadOp::create(*this, type, at(base, bytes), alignment);
  }
  void store(Value value, Value base, int64_t bytes, unsigned alignment) {
    LLVM::StoreOp::create(*this, value, at(base, bytes), alignment);
  }

  /// `for i = lower to upper step step`, carrying `inits`; `body(b, i,
  /// carried)` returns the values of the next iteration.
  template <typename Body>
  ValueRange loop(Value lower, Value upper, Value step, ValueRange inits,
                  Body body) {
    auto loop = scf::ForOp::create(
        *this, lower, upper, step, inits,
        [&](OpBuilder &nested, Location loc, Value i, ValueRange carried) {
          KernelBuilder b(loc, nested);
          SmallVector<Value> next = body(b, i, carried);
          scf::YieldOp::create(b, next);
        });
    return loop.getResults();
  }

  /// The same without carried values.
  template <typename Body>
  void loop(Value lower, Value upper, Value step, Body body) {
    loop(lower, upper, step, ValueRange(),
         [&](KernelBuilder &b, Value i, ValueRange) -> SmallVector<Value> {
           body(b, i);
           return {};
         });
  }
};

} // namespace mlir::moe

#endif // MOE_LIB_CPU_KERNELBUILDER_H

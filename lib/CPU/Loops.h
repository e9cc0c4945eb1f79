//===- Loops.h - Short names for loops and index arithmetic -----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_LOOPS_H
#define MOE_LIB_CPU_LOOPS_H

#include "moe/Support/Scalars.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace mlir::moe {

using LoopBody = function_ref<void(ImplicitLocOpBuilder &b, Value i)>;

inline Value add(ImplicitLocOpBuilder &b, Value x, Value y) {
  return b.createOrFold<arith::AddIOp>(x, y);
}
inline Value add(ImplicitLocOpBuilder &b, Value x, int64_t y) {
  return add(b, x, constantIndex(b, y));
}
inline Value sub(ImplicitLocOpBuilder &b, Value x, Value y) {
  return b.createOrFold<arith::SubIOp>(x, y);
}
inline Value mul(ImplicitLocOpBuilder &b, Value x, Value y) {
  return b.createOrFold<arith::MulIOp>(x, y);
}
inline Value mul(ImplicitLocOpBuilder &b, Value x, int64_t y) {
  return mul(b, x, constantIndex(b, y));
}
inline Value div(ImplicitLocOpBuilder &b, Value x, Value y) {
  return b.createOrFold<arith::DivUIOp>(x, y);
}
inline Value div(ImplicitLocOpBuilder &b, Value x, int64_t y) {
  return div(b, x, constantIndex(b, y));
}
inline Value rem(ImplicitLocOpBuilder &b, Value x, Value y) {
  return b.createOrFold<arith::RemUIOp>(x, y);
}
inline Value rem(ImplicitLocOpBuilder &b, Value x, int64_t y) {
  return rem(b, x, constantIndex(b, y));
}
inline Value min(ImplicitLocOpBuilder &b, Value x, Value y) {
  return b.createOrFold<arith::MinUIOp>(x, y);
}
inline Value min(ImplicitLocOpBuilder &b, Value x, int64_t y) {
  return min(b, x, constantIndex(b, y));
}
inline Value max(ImplicitLocOpBuilder &b, Value x, Value y) {
  return b.createOrFold<arith::MaxUIOp>(x, y);
}
inline Value max(ImplicitLocOpBuilder &b, Value x, int64_t y) {
  return max(b, x, constantIndex(b, y));
}
inline Value less(ImplicitLocOpBuilder &b, Value x, Value y) {
  return b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::ult, x, y);
}
inline Value lessEqual(ImplicitLocOpBuilder &b, Value x, int64_t y) {
  return b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::ule, x,
                                       constantIndex(b, y));
}
inline Value select(ImplicitLocOpBuilder &b, Value condition, Value x,
                    Value y) {
  return b.createOrFold<arith::SelectOp>(condition, x, y);
}
/// `x / y`, rounded up.
inline Value divUp(ImplicitLocOpBuilder &b, Value x, Value y) {
  return div(b, sub(b, add(b, x, y), constantIndex(b, 1)), y);
}
/// `x` rounded up to a multiple of `y`.
inline Value roundUp(ImplicitLocOpBuilder &b, Value x, int64_t y) {
  return mul(b, div(b, add(b, x, y - 1), y), y);
}

inline Value dim(ImplicitLocOpBuilder &b, Value memref, int64_t i) {
  return b.createOrFold<memref::DimOp>(memref, i);
}
inline Value load(ImplicitLocOpBuilder &b, Value memref, ValueRange at) {
  return memref::LoadOp::create(b, memref, at);
}
inline void store(ImplicitLocOpBuilder &b, Value value, Value memref,
                  ValueRange at) {
  memref::StoreOp::create(b, value, memref, at);
}
inline Value alloc(ImplicitLocOpBuilder &b, ArrayRef<int64_t> shape, Type type,
                   ValueRange sizes = {}) {
  return memref::AllocOp::create(b, MemRefType::get(shape, type), sizes);
}

/// `for i = lower to upper step step`.
inline void forEach(ImplicitLocOpBuilder &b, Value lower, Value upper,
                    Value step, LoopBody body) {
  scf::ForOp::create(b, lower, upper, step, ValueRange(),
                     [&](OpBuilder &nested, Location loc, Value i, ValueRange) {
                       ImplicitLocOpBuilder inner(loc, nested);
                       body(inner, i);
                       scf::YieldOp::create(inner);
                     });
}

inline void forEach(ImplicitLocOpBuilder &b, Value lower, Value upper,
                    int64_t step, LoopBody body) {
  forEach(b, lower, upper, constantIndex(b, step), body);
}

/// `for i = 0 to upper`.
inline void forEach(ImplicitLocOpBuilder &b, Value upper, LoopBody body) {
  forEach(b, constantIndex(b, 0), upper, 1, body);
}

/// How many elements one iteration of an scf.parallel computes, about.
inline constexpr llvm::StringLiteral kWorkAttr = "moe.work";

/// Elements from which on a loop is shared: a few microseconds of work, several
/// times what threads lose when they wait for each other.
inline constexpr int64_t kParallelWork = 1 << 15;

/// The same with iterations in parallel, where there are enough of them: each
/// computes about `work` elements.
inline void forEachInParallel(ImplicitLocOpBuilder &b, Value upper,
                              int64_t work, LoopBody body) {
  auto loop = scf::ParallelOp::create(
      b, ValueRange{constantIndex(b, 0)}, ValueRange{upper},
      ValueRange{constantIndex(b, 1)},
      [&](OpBuilder &nested, Location loc, ValueRange i) {
        ImplicitLocOpBuilder inner(loc, nested);
        body(inner, i.front());
      });
  loop->setAttr(kWorkAttr, b.getI64IntegerAttr(work));
}

/// `if (condition) then else otherwise`.
inline void branch(ImplicitLocOpBuilder &b, Value condition,
                   function_ref<void(ImplicitLocOpBuilder &b)> then,
                   function_ref<void(ImplicitLocOpBuilder &b)> otherwise = {}) {
  auto region = [](function_ref<void(ImplicitLocOpBuilder &)> body) {
    return [body](OpBuilder &nested, Location loc) {
      ImplicitLocOpBuilder inner(loc, nested);
      body(inner);
      scf::YieldOp::create(inner);
    };
  };
  if (otherwise)
    scf::IfOp::create(b, condition, region(then), region(otherwise));
  else
    scf::IfOp::create(b, condition, region(then));
}

/// 0, `stride`, 2 * `stride`, ... as i32 lanes.
inline Value laneOffsets(ImplicitLocOpBuilder &b, int64_t lanes, Value stride) {
  auto indices = VectorType::get({lanes}, b.getIndexType());
  auto i32s = VectorType::get({lanes}, b.getI32Type());
  Value lane =
      arith::IndexCastOp::create(b, i32s, vector::StepOp::create(b, indices));
  return arith::MulIOp::create(
      b, lane, vector::BroadcastOp::create(b, i32s, toI32(b, stride)));
}

} // namespace mlir::moe

#endif // MOE_LIB_CPU_LOOPS_H

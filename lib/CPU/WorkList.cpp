//===- WorkList.cpp - Items that threads take one by one ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   taken = 0
//   in parallel for thread = 0 to threads:
//     for (item = taken++; item < count; item = next)     (atomically)
//       next = taken++;  body(item, next, thread)
//
//===----------------------------------------------------------------------===//

#include "WorkList.h"

#include "Loops.h"

#include "moe/IR/MoE.h"

using namespace mlir;
using namespace mlir::moe;

void mlir::moe::forEachItem(
    ImplicitLocOpBuilder &b, Value count, Value work,
    function_ref<void(ImplicitLocOpBuilder &b, const WorkItem &item)> body) {
  Type i64 = b.getI64Type();
  auto constant = [&](ImplicitLocOpBuilder &b, int64_t value) {
    return arith::ConstantIntOp::create(b, i64, value);
  };
  Value taken = alloc(b, {}, i64);
  store(b, constant(b, 0), taken, {});
  Value items = arith::IndexCastOp::create(b, i64, count);
  Value isWorthIt =
      arith::CmpIOp::create(b, arith::CmpIPredicate::uge, mul(b, count, work),
                            constantIndex(b, kParallelWork));
  Value threads = arith::SelectOp::create(
      b, isWorthIt, min(b, NumThreadsOp::create(b), count),
      constantIndex(b, 1));
  forEachInParallel(
      b, threads, kParallelWork, [&](ImplicitLocOpBuilder &b, Value thread) {
        auto take = [&](ImplicitLocOpBuilder &b) {
          return memref::AtomicRMWOp::create(b, arith::AtomicRMWKind::addi,
                                             constant(b, 1), taken,
                                             ValueRange());
        };
        auto more = [&](OpBuilder &nested, Location loc, ValueRange item) {
          ImplicitLocOpBuilder b(loc, nested);
          scf::ConditionOp::create(b, less(b, item[0], items), item);
        };
        auto step = [&](OpBuilder &nested, Location loc, ValueRange item) {
          ImplicitLocOpBuilder b(loc, nested);
          Value next = take(b);
          Type index = b.getIndexType();
          body(b, {arith::IndexCastOp::create(b, index, item[0]),
                   arith::IndexCastOp::create(b, index, next), thread});
          scf::YieldOp::create(b, next);
        };
        Value first = take(b);
        scf::WhileOp::create(b, TypeRange{i64}, first, more, step);
      });
}

//===----------------------------------------------------------------------===//
// Countdowns
//===----------------------------------------------------------------------===//

Countdowns::Countdowns(ImplicitLocOpBuilder &b, Value count)
    : left(alloc(b, {ShapedType::kDynamic}, b.getI32Type(), count)) {}

void Countdowns::set(ImplicitLocOpBuilder &b, Value i, Value bits) const {
  store(b, bits, left, i);
}

/// Atomically adds to a counter, which releases and acquires; returns the value
/// before.
static Value fetchAdd(ImplicitLocOpBuilder &b, Value counters, Value i,
                      int32_t amount) {
  return memref::AtomicRMWOp::create(b, arith::AtomicRMWKind::addi,
                                     constantI32(b, amount), counters, i);
}

void Countdowns::finish(ImplicitLocOpBuilder &b, Value i) const {
  fetchAdd(b, left, i, -1);
}

void Countdowns::await(ImplicitLocOpBuilder &b, Value i) const {
  // Adding nothing is the load that acquires. It mostly succeeds at once.
  auto isLeft = [&](OpBuilder &nested, Location loc, ValueRange) {
    ImplicitLocOpBuilder b(loc, nested);
    Value some =
        arith::CmpIOp::create(b, arith::CmpIPredicate::ne,
                              fetchAdd(b, left, i, 0), constantI32(b, 0));
    scf::ConditionOp::create(b, some, ValueRange());
  };
  auto again = [](OpBuilder &nested, Location loc, ValueRange) {
    scf::YieldOp::create(nested, loc);
  };
  scf::WhileOp::create(b, TypeRange(), ValueRange(), isLeft, again);
}

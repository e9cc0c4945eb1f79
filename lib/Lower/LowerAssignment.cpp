//===- LowerAssignment.cpp - limit, assign to loops -----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// `assign` is a counting sort. `limit` counts the slots of each expert in the
// order in which they are admitted; where priorities decide, a radix sort of
// the slots of each group makes that order.
//
//===----------------------------------------------------------------------===//

#include "Candidate.h"
#include "Linalg.h"

#include "moe/IR/MoE.h"
#include "moe/Lower/Passes.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

#define DEBUG_TYPE "moe-lower-assignment"

using namespace mlir;
using namespace mlir::moe;

namespace mlir::moe {
#define GEN_PASS_DEF_LOWERASSIGNMENTPASS
#include "moe/Lower/Passes.h.inc"
} // namespace mlir::moe

/// A run of tokens, and whether their slots are visited token by token.
struct Tokens {
  Value first, end;
  bool tokenMajor = true;
};

static Tokens allTokens(ImplicitLocOpBuilder &b, Value idx) {
  return {constantIndex(b, 0), tensor::DimOp::create(b, idx, 0)};
}

using SlotBody = function_ref<SmallVector<Value>(ImplicitLocOpBuilder &, Value,
                                                 Value, Value, ValueRange)>;

/// `body(t, j, expert, carried)`, if slot `j` of token `t` has an expert.
static SmallVector<Value> ifChosen(ImplicitLocOpBuilder &b, Value idx, Value t,
                                   Value j, ValueRange carried, SlotBody body) {
  Value expert = tensor::ExtractOp::create(b, idx, ValueRange{t, j});
  Value chosen = arith::CmpIOp::create(b, arith::CmpIPredicate::sge, expert,
                                       constantI32(b, 0));
  auto ifOp = scf::IfOp::create(
      b, chosen,
      [&](OpBuilder &nested, Location loc) {
        ImplicitLocOpBuilder inner(loc, nested);
        scf::YieldOp::create(
            inner, body(inner, t, j, toIndex(inner, expert), carried));
      },
      [&](OpBuilder &nested, Location loc) {
        scf::YieldOp::create(nested, loc, carried);
      });
  return ifOp.getResults();
}

/// Calls `body(t, j, expert, carried)` for every slot of `tokens` with an
/// expert.
static SmallVector<Value> forEachSlot(ImplicitLocOpBuilder &b, Value idx,
                                      Tokens tokens, ValueRange inits,
                                      SlotBody body) {
  Value zero = constantIndex(b, 0);
  Value k = tensor::DimOp::create(b, idx, 1);
  auto slot = [&](ImplicitLocOpBuilder &b, Value t, Value j,
                  ValueRange carried) {
    return ifChosen(b, idx, t, j, carried, body);
  };
  auto overTokens = [&](ImplicitLocOpBuilder &b, ValueRange inits, auto body) {
    return forLoop(b, tokens.first, tokens.end, inits, body).getResults();
  };
  auto overSlots = [&](ImplicitLocOpBuilder &b, ValueRange inits, auto body) {
    return forLoop(b, zero, k, inits, body).getResults();
  };
  if (tokens.tokenMajor)
    return overTokens(b, inits,
                      [&](ImplicitLocOpBuilder &b, Value t,
                          ValueRange outer) -> SmallVector<Value> {
                        return overSlots(b, outer,
                                         [&](ImplicitLocOpBuilder &b, Value j,
                                             ValueRange inner) {
                                           return slot(b, t, j, inner);
                                         });
                      });
  return overSlots(b, inits,
                   [&](ImplicitLocOpBuilder &b, Value j,
                       ValueRange outer) -> SmallVector<Value> {
                     return overTokens(b, outer,
                                       [&](ImplicitLocOpBuilder &b, Value t,
                                           ValueRange inner) {
                                         return slot(b, t, j, inner);
                                       });
                   });
}

//===----------------------------------------------------------------------===//
// limit
//===----------------------------------------------------------------------===//

/// Slots of one expert that a group of `tokens` may fill, as i32.
static Value capacityOf(ImplicitLocOpBuilder &b, LimitOp op, Value tokens) {
  CapacityAttr capacity = op.getCapacity();
  if (capacity.isFixed())
    return constantI32(
        b, static_cast<int32_t>(std::min<int64_t>(
               capacity.getFixed(), std::numeric_limits<int32_t>::max())));
  Type f64 = b.getF64Type();
  auto constant = [&](double value) -> Value {
    return arith::ConstantOp::create(b, b.getF64FloatAttr(value));
  };
  Value exact = arith::MulFOp::create(
      b, arith::SIToFPOp::create(b, f64, toI32(b, tokens)),
      constant(capacity.getFactor().getValueAsDouble()));
  exact = arith::DivFOp::create(b, exact,
                                constant(static_cast<double>(op.getExperts())));
  Value rounded;
  switch (capacity.getRounding()) {
  case Rounding::Floor:
    rounded = math::FloorOp::create(b, exact);
    break;
  case Rounding::Ceil:
    rounded = math::CeilOp::create(b, exact);
    break;
  case Rounding::Nearest:
    rounded = math::RoundEvenOp::create(b, exact);
    break;
  }
  auto i32 = [&](int64_t value) {
    return constantI32(b, static_cast<int32_t>(value));
  };
  Value count = arith::FPToSIOp::create(b, b.getI32Type(), rounded);
  count = arith::MaxSIOp::create(b, count, i32(capacity.getMin()));
  if (capacity.getMultiple() == 1)
    return count;
  Value multiple = i32(capacity.getMultiple());
  return arith::MulIOp::create(
      b, arith::CeilDivSIOp::create(b, count, multiple), multiple);
}

/// Keeps a slot if its expert has admitted fewer than `capacity`; `carried` are
/// the slots that are kept and the experts' counts.
static SmallVector<Value> admit(ImplicitLocOpBuilder &b, Value t, Value j,
                                Value expert, Value capacity,
                                ValueRange carried) {
  Value count = tensor::ExtractOp::create(b, carried[1], expert);
  Value fits =
      arith::CmpIOp::create(b, arith::CmpIPredicate::slt, count, capacity);
  Value kept =
      arith::SelectOp::create(b, fits, toI32(b, expert), constantI32(b, -1));
  Value next = arith::AddIOp::create(b, count, constantI32(b, 1));
  return {tensor::InsertOp::create(b, kept, carried[0], ValueRange{t, j}),
          tensor::InsertOp::create(b, next, carried[1], expert)};
}

/// No slot of any expert.
static Value noCounts(ImplicitLocOpBuilder &b, LimitOp op) {
  return filled(b, OpFoldResult(b.getIndexAttr(op.getExperts())),
                constantI32(b, 0));
}

/// Slots in the order in which they stand: count them for each expert.
static Value limitInOrder(ImplicitLocOpBuilder &b, LimitOp op, Value none) {
  Value idx = op.getIdx();
  return forEachGroup(
      b, op.getCu(), tensor::DimOp::create(b, idx, 0), none,
      [&](ImplicitLocOpBuilder &b, Value, Value first, Value end,
          ValueRange carried) -> SmallVector<Value> {
        Value capacity =
            capacityOf(b, op, arith::SubIOp::create(b, end, first));
        Tokens tokens = {first, end, op.getTokenMajor()};
        return {forEachSlot(b, idx, tokens, {carried[0], noCounts(b, op)},
                            [&](ImplicitLocOpBuilder &b, Value t, Value j,
                                Value expert, ValueRange carried) {
                              return admit(b, t, j, expert, capacity, carried);
                            })[0]};
      })[0];
}

/// The digits of a radix sort.
static constexpr int64_t kDigitBits = 8, kDigits = 1 << kDigitBits;

/// One pass of a radix sort: the first `count` elements of `from`, by digit
/// `shift` of their keys, to `to`; equal ones stay in order.
static Value sortByDigit(ImplicitLocOpBuilder &b, Value from, Value to,
                         Value keys, Value count, int64_t shift) {
  Value zero = constantIndex(b, 0), one = constantI32(b, 1);
  auto digitAt = [&](ImplicitLocOpBuilder &b, Value i) {
    Value key = tensor::ExtractOp::create(b, keys, indexAt(b, from, i));
    Value rest = arith::ShRUIOp::create(b, key, constantI32(b, shift));
    return toIndex(b,
                   arith::AndIOp::create(b, rest, constantI32(b, kDigits - 1)));
  };
  auto add = [&](ImplicitLocOpBuilder &b, Value numbers, Value at) -> Value {
    Value old = tensor::ExtractOp::create(b, numbers, at);
    return tensor::InsertOp::create(b, arith::AddIOp::create(b, old, one),
                                    numbers, at);
  };
  Value counts = forLoop(b, zero, count,
                         filled(b, OpFoldResult(b.getIndexAttr(kDigits)),
                                constantI32(b, 0)),
                         [&](ImplicitLocOpBuilder &b, Value i,
                             ValueRange counts) -> SmallVector<Value> {
                           return {add(b, counts[0], digitAt(b, i))};
                         })
                     .getResult(0);
  Value places =
      forLoop(b, zero, constantIndex(b, kDigits), {counts, constantI32(b, 0)},
              [&](ImplicitLocOpBuilder &b, Value digit,
                  ValueRange carried) -> SmallVector<Value> {
                Value own = tensor::ExtractOp::create(b, carried[0], digit);
                return {
                    tensor::InsertOp::create(b, carried[1], carried[0], digit),
                    arith::AddIOp::create(b, carried[1], own)};
              })
          .getResult(0);
  return forLoop(b, zero, count, {to, places},
                 [&](ImplicitLocOpBuilder &b, Value i,
                     ValueRange carried) -> SmallVector<Value> {
                   Value digit = digitAt(b, i);
                   Value place = indexAt(b, carried[1], digit);
                   Value element = tensor::ExtractOp::create(b, from, i);
                   return {
                       tensor::InsertOp::create(b, element, carried[0], place),
                       add(b, carried[1], digit)};
                 })
      .getResult(0);
}

/// Slots by priority: those of each group are sorted, from the order in which
/// equal ones are admitted, and then counted for each expert.
static Value limitByPriority(ImplicitLocOpBuilder &b, LimitOp op, Value none) {
  Value idx = op.getIdx(), zero = constantIndex(b, 0);
  Value k = tensor::DimOp::create(b, idx, 1);
  AffineExpr s0, s1;
  bindSymbols(b.getContext(), s0, s1);
  OpFoldResult numSlots = affine::makeComposedFoldedAffineApply(
      b, b.getLoc(), s0 * s1, tensor::getMixedSizes(b, b.getLoc(), idx));
  auto perSlot = [&] { return empty(b, numSlots, b.getI32Type()); };
  return forEachGroup(
      b, op.getCu(), tensor::DimOp::create(b, idx, 0),
      {none, perSlot(), perSlot(), perSlot()},
      [&](ImplicitLocOpBuilder &b, Value, Value first, Value end,
          ValueRange carried) -> SmallVector<Value> {
        Value tokens = arith::SubIOp::create(b, end, first);
        Value count = arith::MulIOp::create(b, tokens, k);
        auto listed = forLoop(
            b, zero, count, {carried[1], carried[3]},
            [&](ImplicitLocOpBuilder &b, Value i,
                ValueRange carried) -> SmallVector<Value> {
              Value inner = op.getTokenMajor() ? k : tokens;
              Value major = arith::DivUIOp::create(b, i, inner);
              Value minor = arith::RemUIOp::create(b, i, inner);
              if (!op.getTokenMajor())
                std::swap(major, minor);
              Value token = arith::AddIOp::create(b, first, major);
              Value slot = arith::AddIOp::create(
                  b, arith::MulIOp::create(b, token, k), minor);
              Value priority = tensor::ExtractOp::create(
                  b, op.getPriority(), ValueRange{token, minor});
              // Turned around, so that the most preferred one is the least.
              Value key = arith::XOrIOp::create(
                  b, preference(b, priority),
                  constantI32(b, std::numeric_limits<int32_t>::max()));
              return {
                  tensor::InsertOp::create(b, toI32(b, slot), carried[0], i),
                  tensor::InsertOp::create(b, key, carried[1], slot)};
            });
        Value sorted = listed.getResult(0), keys = listed.getResult(1);
        Value spare = carried[2];
        for (int64_t shift = 0; shift < 32; shift += kDigitBits) {
          Value next = sortByDigit(b, sorted, spare, keys, count, shift);
          spare = std::exchange(sorted, next);
        }
        Value capacity = capacityOf(b, op, tokens);
        Value kept =
            forLoop(b, zero, count, {carried[0], noCounts(b, op)},
                    [&](ImplicitLocOpBuilder &b, Value i, ValueRange carried) {
                      Value slot = indexAt(b, sorted, i);
                      Value t = arith::DivUIOp::create(b, slot, k);
                      Value j = arith::RemUIOp::create(b, slot, k);
                      return ifChosen(
                          b, idx, t, j, carried,
                          [&](ImplicitLocOpBuilder &b, Value t, Value j,
                              Value expert, ValueRange carried) {
                            return admit(b, t, j, expert, capacity, carried);
                          });
                    })
                .getResult(0);
        return {kept, sorted, spare, keys};
      })[0];
}

namespace {

/// limit -> drop the slots for which there is no capacity
struct LowerLimit : OpRewritePattern<LimitOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(LimitOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value none = filled(b, tensor::getMixedSizes(b, op.getLoc(), op.getIdx()),
                        constantI32(b, -1));
    rewriter.replaceOp(op, op.getPriority() ? limitByPriority(b, op, none)
                                            : limitInOrder(b, op, none));
    return success();
  }
};

} // namespace

//===----------------------------------------------------------------------===//
// assign
//===----------------------------------------------------------------------===//

namespace {

/// assign -> counting sort
struct LowerAssign : OpRewritePattern<AssignOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AssignOp op,
                                PatternRewriter &rewriter) const override {
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value idx = op.getIdx();
    ReifiedRankedShapedTypeDims sizes;
    if (failed(op.reifyResultShapes(b, sizes)))
      return failure();
    Value zero = constantIndex(b, 0), one = constantIndex(b, 1);
    Value none = constantI32(b, -1), i32One = constantI32(b, 1);
    auto increment = [&](ImplicitLocOpBuilder &b, Value counts,
                         Value at) -> std::pair<Value, Value> {
      Value old = tensor::ExtractOp::create(b, counts, at);
      Value next = arith::AddIOp::create(b, old, i32One);
      return {old, tensor::InsertOp::create(b, next, counts, at)};
    };

    // offsets[e+1] counts expert e; a running sum makes prefix sums of counts.
    Value counts = forEachSlot(
        b, idx, allTokens(b, idx), filled(b, sizes[2], constantI32(b, 0)),
        [&](ImplicitLocOpBuilder &b, Value, Value, Value expert,
            ValueRange carried) -> SmallVector<Value> {
          Value at = arith::AddIOp::create(b, expert, one);
          return {increment(b, carried[0], at).second};
        })[0];
    Value last = constantIndex(b, op.getExperts() + 1);
    Value offsets =
        forLoop(b, zero, last, {counts, constantI32(b, 0)},
                [&](ImplicitLocOpBuilder &b, Value e,
                    ValueRange carried) -> SmallVector<Value> {
                  Value sum = arith::AddIOp::create(
                      b, carried[1],
                      tensor::ExtractOp::create(b, carried[0], e));
                  return {tensor::InsertOp::create(b, sum, carried[0], e), sum};
                })
            .getResult(0);

    // Each expert's next free row starts at its offset.
    SmallVector<Value> placed = forEachSlot(
        b, idx, allTokens(b, idx),
        {filled(b, sizes[0], none), filled(b, sizes[1], none), offsets},
        [&](ImplicitLocOpBuilder &b, Value t, Value j, Value expert,
            ValueRange carried) -> SmallVector<Value> {
          auto [row, next] = increment(b, carried[2], expert);
          Value k = tensor::DimOp::create(b, idx, 1);
          Value flat =
              arith::AddIOp::create(b, arith::MulIOp::create(b, t, k), j);
          return {
              tensor::InsertOp::create(b, row, carried[0], ValueRange{t, j}),
              tensor::InsertOp::create(b, toI32(b, flat), carried[1],
                                       toIndex(b, row)),
              next};
        });
    rewriter.replaceOp(op, {placed[0], placed[1], offsets});
    return success();
  }
};

} // namespace

namespace {

struct LowerAssignmentPass
    : mlir::moe::impl::LowerAssignmentPassBase<LowerAssignmentPass> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerAssign, LowerLimit>(&getContext());
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace

//===- LowerAssignment.cpp - limit, assign to loops -----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// `assign` is a counting sort. `limit` counts the slots of each expert in the
// order in which they are admitted; where priorities decide, it sorts the slots
// by expert first and gives each its rank among those of its expert and group.
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

/// Calls `body(t, j, expert, carried)` for every slot of `tokens` with an
/// expert.
static SmallVector<Value>
forEachSlot(ImplicitLocOpBuilder &b, Value idx, Tokens tokens, ValueRange inits,
            function_ref<SmallVector<Value>(ImplicitLocOpBuilder &, Value,
                                            Value, Value, ValueRange)>
                body) {
  Value zero = constantIndex(b, 0);
  Value k = tensor::DimOp::create(b, idx, 1);
  auto slot = [&](ImplicitLocOpBuilder &b, Value t, Value j,
                  ValueRange carried) -> SmallVector<Value> {
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

/// Slots in the order in which they stand: count them for each expert.
static Value limitInOrder(ImplicitLocOpBuilder &b, LimitOp op, Value none) {
  Value idx = op.getIdx();
  return forEachGroup(
      b, op.getCu(), tensor::DimOp::create(b, idx, 0), none,
      [&](ImplicitLocOpBuilder &b, Value, Value first, Value end,
          ValueRange carried) -> SmallVector<Value> {
        Value capacity =
            capacityOf(b, op, arith::SubIOp::create(b, end, first));
        Value counts = filled(b, OpFoldResult(b.getIndexAttr(op.getExperts())),
                              constantI32(b, 0));
        Tokens tokens = {first, end, op.getTokenMajor()};
        Value kept = forEachSlot(
            b, idx, tokens, {carried[0], counts},
            [&](ImplicitLocOpBuilder &b, Value t, Value j, Value expert,
                ValueRange carried) -> SmallVector<Value> {
              Value count = tensor::ExtractOp::create(b, carried[1], expert);
              Value fits = arith::CmpIOp::create(b, arith::CmpIPredicate::slt,
                                                 count, capacity);
              Value kept = arith::SelectOp::create(b, fits, toI32(b, expert),
                                                   constantI32(b, -1));
              Value next = arith::AddIOp::create(b, count, constantI32(b, 1));
              return {tensor::InsertOp::create(b, kept, carried[0],
                                               ValueRange{t, j}),
                      tensor::InsertOp::create(b, next, carried[1], expert)};
            })[0];
        return {kept};
      })[0];
}

/// The group of each token and the capacity in it, [T] both.
static std::pair<Value, Value> describeTokens(ImplicitLocOpBuilder &b,
                                              LimitOp op) {
  Value tokens = tensor::DimOp::create(b, op.getIdx(), 0);
  Value init = empty(b, OpFoldResult(tokens), b.getI32Type());
  SmallVector<Value> described = forEachGroup(
      b, op.getCu(), tokens, {init, init},
      [&](ImplicitLocOpBuilder &b, Value group, Value first, Value end,
          ValueRange carried) -> SmallVector<Value> {
        Value capacity =
            capacityOf(b, op, arith::SubIOp::create(b, end, first));
        return forLoop(b, first, end, carried,
                       [&](ImplicitLocOpBuilder &b, Value t,
                           ValueRange carried) -> SmallVector<Value> {
                         return {tensor::InsertOp::create(b, toI32(b, group),
                                                          carried[0], t),
                                 tensor::InsertOp::create(b, capacity,
                                                          carried[1], t)};
                       })
            .getResults();
      });
  return {described[0], described[1]};
}

/// Slots by priority: each is kept if fewer than `capacity` of its expert and
/// group are preferred to it.
static Value limitByPriority(ImplicitLocOpBuilder &b, LimitOp op, Value none) {
  Value idx = op.getIdx();
  Value tokens = tensor::DimOp::create(b, idx, 0);
  Value k = tensor::DimOp::create(b, idx, 1);
  Value groups, capacities;
  std::tie(groups, capacities) = describeTokens(b, op);
  auto assign = AssignOp::create(b, idx, op.getExperts());
  Value perm = assign.getPerm(), offsets = assign.getOffsets();
  auto slotAt = [&](ImplicitLocOpBuilder &b, Value r) -> SmallVector<Value> {
    Value flat = indexAt(b, perm, r);
    return {arith::DivUIOp::create(b, flat, k),
            arith::RemUIOp::create(b, flat, k)};
  };
  auto candidateAt = [&](ImplicitLocOpBuilder &b, ArrayRef<Value> slot) {
    Value key = tensor::ExtractOp::create(b, op.getPriority(), slot);
    auto [major, minor, extent] = op.getTokenMajor()
                                      ? std::tuple(slot[0], slot[1], k)
                                      : std::tuple(slot[1], slot[0], tokens);
    Value order = arith::AddIOp::create(
        b, arith::MulIOp::create(b, major, extent), minor);
    return candidate(b, key, order);
  };
  auto rank = [&](ImplicitLocOpBuilder &b, Value first, Value end,
                  ArrayRef<Value> slot) {
    Value group = tensor::ExtractOp::create(b, groups, slot[0]);
    Value own = candidateAt(b, slot);
    return forLoop(b, first, end, constantI32(b, 0),
                   [&](ImplicitLocOpBuilder &b, Value r,
                       ValueRange count) -> SmallVector<Value> {
                     SmallVector<Value> other = slotAt(b, r);
                     Value sameGroup = arith::CmpIOp::create(
                         b, arith::CmpIPredicate::eq, group,
                         tensor::ExtractOp::create(b, groups, other[0]));
                     Value isPreferred =
                         arith::CmpIOp::create(b, arith::CmpIPredicate::sgt,
                                               candidateAt(b, other), own);
                     Value counts = arith::ExtUIOp::create(
                         b, b.getI32Type(),
                         arith::AndIOp::create(b, sameGroup, isPreferred));
                     return {arith::AddIOp::create(b, count[0], counts)};
                   })
        .getResult(0);
  };
  return forLoop(
             b, constantIndex(b, 0), constantIndex(b, op.getExperts()), none,
             [&](ImplicitLocOpBuilder &b, Value expert,
                 ValueRange carried) -> SmallVector<Value> {
               Value first = indexAt(b, offsets, expert);
               Value next =
                   arith::AddIOp::create(b, expert, constantIndex(b, 1));
               Value end = indexAt(b, offsets, next);
               return forLoop(b, first, end, carried,
                              [&](ImplicitLocOpBuilder &b, Value r,
                                  ValueRange carried) -> SmallVector<Value> {
                                SmallVector<Value> slot = slotAt(b, r);
                                Value fits = arith::CmpIOp::create(
                                    b, arith::CmpIPredicate::slt,
                                    rank(b, first, end, slot),
                                    tensor::ExtractOp::create(b, capacities,
                                                              slot[0]));
                                Value kept = arith::SelectOp::create(
                                    b, fits, toI32(b, expert),
                                    constantI32(b, -1));
                                return {tensor::InsertOp::create(
                                    b, kept, carried[0], slot)};
                              })
                   .getResults();
             })
      .getResult(0);
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
    // A limit by priorities sorts the slots with an assign of its own.
    RewritePatternSet limits(&getContext());
    limits.add<LowerLimit>(&getContext());
    walkAndApplyPatterns(getOperation(), std::move(limits));
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerAssign>(&getContext());
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace

//===- CpuLowerRoute.cpp - moe.route becomes vector code ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// For each token:
//   m = max l;  p = exp(l - m);  s = p / sum p      a register at a time
//   k times: the largest key, and the lowest index that has it; take it away
//
// Scores are not negative, so their bits order as integers; that is the key.
// NaN has key -1, below every score. An expert that is taken, and a lane beyond
// the last expert, has the least key of all.
//
//===----------------------------------------------------------------------===//

#include "Levels.h"
#include "Loops.h"

#include "moe/CPU/Passes.h"

#include <limits>

namespace mlir::moe {
#define GEN_PASS_DEF_CPULOWERROUTEPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-lower-route"

using namespace mlir;
using namespace mlir::moe;

/// Tokens of a work item.
static constexpr int64_t kItemTokens = 16;

static constexpr int32_t kTaken = std::numeric_limits<int32_t>::min();

namespace {

class RouteEmitter {
public:
  RouteEmitter(RouteOp op, const Level &level)
      : op(op), lanes(level.lanes),
        experts(cast<MemRefType>(op.getLogits().getType()).getDimSize(1)),
        topK(cast<MemRefType>(op.getIdxInit().getType()).getDimSize(1)) {
    MLIRContext *context = op.getContext();
    f32s = VectorType::get({lanes}, Float32Type::get(context));
    i32s = VectorType::get({lanes}, IntegerType::get(context, 32));
  }

  void emit(ImplicitLocOpBuilder &b);

private:
  using Step = function_ref<Value(ImplicitLocOpBuilder &b, Value e, Value acc)>;

  Value splat(ImplicitLocOpBuilder &b, Attribute value);
  Value fold(ImplicitLocOpBuilder &b, Value init, Step step);
  Value logits(ImplicitLocOpBuilder &b, Value token, Value e);
  void score(ImplicitLocOpBuilder &b, Value token);
  void select(ImplicitLocOpBuilder &b, Value token);
  void normalize(ImplicitLocOpBuilder &b, Value token);

  RouteOp op;
  int64_t lanes, experts, topK;
  VectorType f32s, i32s;
  /// Of one token, a whole number of registers.
  Value scores, keys;
};

} // namespace

Value RouteEmitter::splat(ImplicitLocOpBuilder &b, Attribute value) {
  auto type = isa<FloatAttr>(value) ? f32s : i32s;
  return arith::ConstantOp::create(b, DenseElementsAttr::get(type, value));
}

/// Walks the experts a register at a time; `e` is the first of each.
Value RouteEmitter::fold(ImplicitLocOpBuilder &b, Value init, Step step) {
  auto loop = scf::ForOp::create(
      b, constantIndex(b, 0), constantIndex(b, experts),
      constantIndex(b, lanes), init,
      [&](OpBuilder &nested, Location loc, Value e, ValueRange acc) {
        ImplicitLocOpBuilder inner(loc, nested);
        scf::YieldOp::create(inner, step(inner, e, acc.front()));
      });
  return loop.getResult(0);
}

/// Logits from expert `e` on; -inf beyond the last.
Value RouteEmitter::logits(ImplicitLocOpBuilder &b, Value token, Value e) {
  return vector::TransferReadOp::create(
      b, f32s, op.getLogits(), ValueRange{token, e},
      constantF32(b, -std::numeric_limits<float>::infinity()),
      ArrayRef<bool>{experts % lanes == 0});
}

/// Fills `scores` and `keys`.
void RouteEmitter::score(ImplicitLocOpBuilder &b, Value token) {
  Value least =
      splat(b, b.getF32FloatAttr(-std::numeric_limits<float>::infinity()));
  Value max =
      fold(b, least, [&](ImplicitLocOpBuilder &b, Value e, Value acc) -> Value {
        return arith::MaxNumFOp::create(b, acc, logits(b, token, e));
      });
  max = vector::ReductionOp::create(b, vector::CombiningKind::MAXNUMF, max);
  max = vector::BroadcastOp::create(b, f32s, max);
  Value sum = fold(b, splat(b, b.getF32FloatAttr(0)),
                   [&](ImplicitLocOpBuilder &b, Value e, Value acc) -> Value {
                     Value power = math::ExpOp::create(
                         b, arith::SubFOp::create(b, logits(b, token, e), max));
                     vector::StoreOp::create(b, power, scores, e);
                     return arith::AddFOp::create(b, acc, power);
                   });
  sum = vector::ReductionOp::create(b, vector::CombiningKind::ADD, sum);
  sum = vector::BroadcastOp::create(b, f32s, sum);

  auto indices = VectorType::get({lanes}, b.getIndexType());
  Value lane = vector::StepOp::create(b, indices);
  forEach(b, constantIndex(b, 0), constantIndex(b, experts), lanes,
          [&](ImplicitLocOpBuilder &b, Value e) {
            Value power = vector::LoadOp::create(b, f32s, scores, e);
            Value score = arith::DivFOp::create(b, power, sum);
            vector::StoreOp::create(b, score, scores, e);
            Value bits = arith::BitcastOp::create(b, i32s, score);
            Value number = arith::CmpFOp::create(b, arith::CmpFPredicate::ORD,
                                                 score, score);
            Value key = arith::SelectOp::create(
                b, number, bits, splat(b, b.getI32IntegerAttr(-1)));
            Value rest = vector::BroadcastOp::create(
                b, indices, sub(b, constantIndex(b, experts), e));
            Value exists =
                arith::CmpIOp::create(b, arith::CmpIPredicate::ult, lane, rest);
            key = arith::SelectOp::create(
                b, exists, key, splat(b, b.getI32IntegerAttr(kTaken)));
            vector::StoreOp::create(b, key, keys, e);
          });
}

/// Takes the `topK` largest keys.
void RouteEmitter::select(ImplicitLocOpBuilder &b, Value token) {
  Value lane = laneOffsets(b, lanes, constantIndex(b, 1));
  Value none =
      splat(b, b.getI32IntegerAttr(std::numeric_limits<int32_t>::max()));
  forEach(b, constantIndex(b, topK), [&](ImplicitLocOpBuilder &b, Value j) {
    Value best =
        fold(b, splat(b, b.getI32IntegerAttr(kTaken)),
             [&](ImplicitLocOpBuilder &b, Value e, Value acc) -> Value {
               Value key = vector::LoadOp::create(b, i32s, keys, e);
               return arith::MaxSIOp::create(b, acc, key);
             });
    best = vector::ReductionOp::create(b, vector::CombiningKind::MAXSI, best);
    best = vector::BroadcastOp::create(b, i32s, best);
    Value first = fold(
        b, none, [&](ImplicitLocOpBuilder &b, Value e, Value acc) -> Value {
          Value key = vector::LoadOp::create(b, i32s, keys, e);
          Value found =
              arith::CmpIOp::create(b, arith::CmpIPredicate::eq, key, best);
          Value expert = arith::AddIOp::create(
              b, lane, vector::BroadcastOp::create(b, i32s, toI32(b, e)));
          Value candidate = arith::SelectOp::create(b, found, expert, none);
          return arith::MinSIOp::create(b, acc, candidate);
        });
    Value expert =
        vector::ReductionOp::create(b, vector::CombiningKind::MINSI, first);
    Value at = toIndex(b, expert);
    store(b, constantI32(b, kTaken), keys, at);
    store(b, expert, op.getIdxInit(), {token, j});
    store(b, load(b, scores, at), op.getWeightsInit(), {token, j});
  });
}

/// Divides the weights of a token by their sum, in slot order.
void RouteEmitter::normalize(ImplicitLocOpBuilder &b, Value token) {
  Value weights = op.getWeightsInit();
  Value slots = constantIndex(b, topK);
  auto sum = forLoop(b, constantIndex(b, 0), slots, constantF32(b, 0),
                     [&](ImplicitLocOpBuilder &b, Value j,
                         ValueRange sum) -> SmallVector<Value> {
                       return {arith::AddFOp::create(
                           b, sum.front(), load(b, weights, {token, j}))};
                     });
  forEach(b, slots, [&](ImplicitLocOpBuilder &b, Value j) {
    Value weight = load(b, weights, {token, j});
    store(b, arith::DivFOp::create(b, weight, sum.getResult(0)), weights,
          {token, j});
  });
}

void RouteEmitter::emit(ImplicitLocOpBuilder &b) {
  Value tokens = dim(b, op.getLogits(), 0);
  Value items = divUp(b, tokens, constantIndex(b, kItemTokens));
  int64_t room = llvm::alignTo(experts, lanes);
  // Three walks for the scores, and two for each slot.
  int64_t work = kItemTokens * experts * (3 + 2 * topK);
  forEachInParallel(b, items, work, [&](ImplicitLocOpBuilder &b, Value item) {
    scores =
        memref::AllocaOp::create(b, MemRefType::get({room}, b.getF32Type()));
    keys = memref::AllocaOp::create(b, MemRefType::get({room}, b.getI32Type()));
    Value begin = mul(b, item, kItemTokens);
    Value end = min(b, add(b, begin, kItemTokens), tokens);
    forEach(b, begin, end, 1, [&](ImplicitLocOpBuilder &b, Value token) {
      score(b, token);
      select(b, token);
      if (op.getNorm() == Norm::Sum)
        normalize(b, token);
    });
  });
}

namespace {

struct CpuLowerRoutePass final
    : moe::impl::CpuLowerRoutePassBase<CpuLowerRoutePass> {
  void runOnOperation() override {
    SmallVector<RouteOp> ops;
    getOperation()->walk([&](RouteOp op) {
      if (op.getResults().empty())
        ops.push_back(op);
    });
    for (RouteOp op : ops) {
      const Level *level = getLevel(op);
      if (!level)
        return signalPassFailure();
      OpBuilder builder(op);
      ImplicitLocOpBuilder b(op.getLoc(), builder);
      RouteEmitter(op, *level).emit(b);
      op.erase();
    }
  }
};

} // namespace

//===- RouteItem.cpp - A work item of routing -----------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RouteItem.h"

#include "Loops.h"
#include "Vectors.h"

#include "moe/IR/Activations.h"

#include <limits>

using namespace mlir;
using namespace mlir::moe;

static constexpr int32_t kMaxI32 = std::numeric_limits<int32_t>::max();

/// The keys below those of all numbers.
static constexpr int32_t kTaken = std::numeric_limits<int32_t>::min();
static constexpr int32_t kNaN = kTaken + 1;

//===----------------------------------------------------------------------===//
// Keys
//===----------------------------------------------------------------------===//

/// An i32, or as many as `like` has lanes.
static Value i32Like(ImplicitLocOpBuilder &b, Value like, int32_t value) {
  TypedAttr attr = b.getI32IntegerAttr(value);
  if (auto vector = dyn_cast<VectorType>(like.getType()))
    attr = DenseElementsAttr::get(vector.clone(b.getI32Type()), attr);
  return arith::ConstantOp::create(b, attr);
}

/// Turns the order of negative numbers around; its own inverse.
static Value flipNegative(ImplicitLocOpBuilder &b, Value bits) {
  Value sign = arith::ShRSIOp::create(b, bits, i32Like(b, bits, 31));
  Value mask = arith::AndIOp::create(b, sign, i32Like(b, bits, kMaxI32));
  return arith::XOrIOp::create(b, bits, mask);
}

/// Keys of numbers.
static Value keyOf(ImplicitLocOpBuilder &b, Value number) {
  // -0 + 0 = +0, so that zeros of both signs tie.
  Value positive = arith::AddFOp::create(b, number, constantLike(b, number, 0));
  Value nan = i32Like(b, number, kNaN);
  Value bits = arith::BitcastOp::create(b, nan.getType(), positive);
  Value isNaN =
      arith::CmpFOp::create(b, arith::CmpFPredicate::UNO, number, number);
  return arith::SelectOp::create(b, isNaN, nan, flipNegative(b, bits));
}

/// The number that has a key.
static Value numberOf(ImplicitLocOpBuilder &b, Value key) {
  return arith::BitcastOp::create(b, b.getF32Type(), flipNegative(b, key));
}

//===----------------------------------------------------------------------===//
// Registers
//===----------------------------------------------------------------------===//

/// `count` elements, and `other` in the other lanes.
static Value loadOr(ImplicitLocOpBuilder &b, int64_t lanes, Value buffer,
                    ValueRange at, int64_t count, Value other) {
  Value others = splat(b, other, lanes);
  Type type = others.getType();
  if (count == lanes)
    return vector::LoadOp::create(b, type, buffer, at);
  return vector::MaskedLoadOp::create(b, type, buffer, at,
                                      firstLanes(b, lanes, count), others);
}

/// Carries values over the registers of `size` elements, of which `count` are
/// filled.
static SmallVector<Value>
fold(ImplicitLocOpBuilder &b, int64_t lanes, int64_t size, ValueRange inits,
     function_ref<SmallVector<Value>(ImplicitLocOpBuilder &b, Value i,
                                     int64_t count, ValueRange carried)>
         step) {
  int64_t whole = size / lanes * lanes;
  SmallVector<Value> values(inits);
  if (whole)
    values =
        forLoop(b, constantIndex(b, 0), constantIndex(b, whole), lanes, inits,
                [&](ImplicitLocOpBuilder &b, Value i, ValueRange carried) {
                  return step(b, i, lanes, carried);
                })
            .getResults();
  if (whole != size)
    values = step(b, constantIndex(b, whole), size - whole, values);
  return values;
}

/// All lanes of one.
static Value reduce(ImplicitLocOpBuilder &b, vector::CombiningKind kind,
                    Value lanes) {
  return vector::ReductionOp::create(b, kind, lanes);
}

RouteItem::RouteItem(RouteOp op, const Level &level)
    : op(op), lanes(level.lanes), experts(op.getNumExperts()), topK(op.getK()) {
}

Value RouteItem::scratch(ImplicitLocOpBuilder &b, int64_t size, Type type) {
  return memref::AllocaOp::create(b, MemRefType::get({size}, type),
                                  b.getI64IntegerAttr(64));
}

//===----------------------------------------------------------------------===//
// Scores
//===----------------------------------------------------------------------===//

/// to[i] = exp(x[i] - max x) / sum of these; `load` yields -inf where there is
/// no element.
void RouteItem::softmax(ImplicitLocOpBuilder &b, int64_t size, Value to,
                        Load load) {
  Value lowest = constantF32(b, -std::numeric_limits<float>::infinity());
  Value max =
      fold(b, lanes, size, splat(b, lowest, lanes),
           [&](ImplicitLocOpBuilder &b, Value i, int64_t count,
               ValueRange max) -> SmallVector<Value> {
             return {arith::MaxNumFOp::create(b, max[0], load(b, i, count))};
           })[0];
  max = splat(b, reduce(b, vector::CombiningKind::MAXNUMF, max), lanes);
  Value sum = fold(b, lanes, size, zeros(b, lanes),
                   [&](ImplicitLocOpBuilder &b, Value i, int64_t count,
                       ValueRange sum) -> SmallVector<Value> {
                     Value power = math::ExpOp::create(
                         b, arith::SubFOp::create(b, load(b, i, count), max));
                     storeLanes(b, power, to, i, count);
                     return {arith::AddFOp::create(b, sum[0], power)};
                   })[0];
  sum = vector::ExtractOp::create(b, foldTo(b, 1, sum), ArrayRef<int64_t>{0});
  sum = splat(b, sum, lanes);
  forEachRegister(
      b, lanes, size, [&](ImplicitLocOpBuilder &b, Value i, int64_t count) {
        Value power = loadLanes(b, lanes, to, i, count);
        storeLanes(b, arith::DivFOp::create(b, power, sum), to, i, count);
      });
}

void RouteItem::score(ImplicitLocOpBuilder &b, int64_t size, Value to,
                      Load load) {
  if (op.getFn() == ScoreFn::Softmax)
    return softmax(b, size, to, load);
  forEachRegister(b, lanes, size,
                  [&](ImplicitLocOpBuilder &b, Value i, int64_t count) {
                    Value score = emitScore(b, op.getFn(), load(b, i, count));
                    storeLanes(b, score, to, i, count);
                  });
}

/// Fills `scores` and `keys`.
void RouteItem::makeKeys(ImplicitLocOpBuilder &b) {
  auto logits = [&](ImplicitLocOpBuilder &b, Value i, int64_t count) {
    Value lowest = constantF32(b, -std::numeric_limits<float>::infinity());
    return loadOr(b, lanes, op.getLogits(), {token, i}, count, lowest);
  };
  if (!op.getOfChosen())
    score(b, experts, scores, logits);
  forEachRegister(
      b, lanes, experts, [&](ImplicitLocOpBuilder &b, Value i, int64_t count) {
        Value key = op.getByLogits() || op.getOfChosen()
                        ? logits(b, i, count)
                        : loadLanes(b, lanes, scores, i, count);
        if (Value bias = op.getBias()) {
          Type type = cast<MemRefType>(bias.getType()).getElementType();
          Value none = arith::ConstantOp::create(b, b.getZeroAttr(type));
          bias = loadOr(b, lanes, bias, i, count, none);
          if (!type.isF32())
            bias = arith::ExtFOp::create(b, f32s(b, lanes), bias);
          key = arith::AddFOp::create(b, key, bias);
        }
        storeLanes(b, keyOf(b, key), keys, i, count);
      });
}

//===----------------------------------------------------------------------===//
// Selection
//===----------------------------------------------------------------------===//

/// The largest key of the `size` from `first` on, and the lowest index from
/// there that has it.
RouteItem::Candidate RouteItem::best(ImplicitLocOpBuilder &b, Value from,
                                     Value first, int64_t size) {
  Value lane = laneOffsets(b, lanes, constantIndex(b, 1));
  Value taken = constantI32(b, kTaken);
  // Of each lane; the first register that has the key wins.
  SmallVector<Value> found =
      fold(b, lanes, size, {splat(b, taken, lanes), lane},
           [&](ImplicitLocOpBuilder &b, Value i, int64_t count,
               ValueRange best) -> SmallVector<Value> {
             Value key = loadOr(b, lanes, from, add(b, first, i), count, taken);
             Value index =
                 arith::AddIOp::create(b, lane, splat(b, toI32(b, i), lanes));
             Value isBetter = arith::CmpIOp::create(
                 b, arith::CmpIPredicate::sgt, key, best[0]);
             return {arith::MaxSIOp::create(b, key, best[0]),
                     arith::SelectOp::create(b, isBetter, index, best[1])};
           });
  Value key = reduce(b, vector::CombiningKind::MAXSI, found[0]);
  Value has = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, found[0],
                                    splat(b, key, lanes));
  Value index =
      arith::SelectOp::create(b, has, found[1], i32Like(b, found[1], kMaxI32));
  return {key, reduce(b, vector::CombiningKind::MINSI, index)};
}

/// Replaces the keys outside the best groups.
void RouteItem::keepBestGroups(ImplicitLocOpBuilder &b, GroupsAttr groups) {
  int64_t count = groups.getCount(), size = experts / count;
  Value zero = constantIndex(b, 0), taken = constantI32(b, kTaken);
  Value rest = scratch(b, experts, b.getI32Type());
  Value groupKeys = scratch(b, count, b.getI32Type());
  forEachRegister(
      b, lanes, experts, [&](ImplicitLocOpBuilder &b, Value i, int64_t count) {
        storeLanes(b, loadOr(b, lanes, keys, i, count, taken), rest, i, count);
      });
  forEach(b, constantIndex(b, count), [&](ImplicitLocOpBuilder &b, Value g) {
    Value first = mul(b, g, size);
    Value sum =
        forLoop(b, zero, constantIndex(b, groups.getTerms()), constantF32(b, 0),
                [&](ImplicitLocOpBuilder &b, Value,
                    ValueRange sum) -> SmallVector<Value> {
                  Candidate term = best(b, rest, first, size);
                  store(b, taken, rest, add(b, first, toIndex(b, term.index)));
                  Value number = numberOf(b, term.key);
                  return {arith::AddFOp::create(b, sum[0], number)};
                })
            .getResult(0);
    store(b, keyOf(b, sum), groupKeys, g);
  });
  forEach(b, constantIndex(b, groups.getKeep()),
          [&](ImplicitLocOpBuilder &b, Value) {
            Value kept = toIndex(b, best(b, groupKeys, zero, count).index);
            store(b, taken, groupKeys, kept);
          });
  float fill = groups.getFill() == Fill::Zero
                   ? 0
                   : -std::numeric_limits<float>::infinity();
  forEach(b, constantIndex(b, count), [&](ImplicitLocOpBuilder &b, Value g) {
    Value isDropped = arith::CmpIOp::create(b, arith::CmpIPredicate::ne,
                                            load(b, groupKeys, g), taken);
    branch(b, isDropped, [&](ImplicitLocOpBuilder &b) {
      Value filled = keyOf(b, splat(b, constantF32(b, fill), lanes));
      Value first = mul(b, g, size);
      forEachRegister(b, lanes, size,
                      [&](ImplicitLocOpBuilder &b, Value i, int64_t count) {
                        storeLanes(b, filled, keys, add(b, first, i), count);
                      });
    });
  });
}

/// Takes the largest keys, and puts into `slots` what their experts have.
void RouteItem::select(ImplicitLocOpBuilder &b) {
  if (std::optional<GroupsAttr> groups = op.getGroups())
    keepBestGroups(b, *groups);
  Value zero = constantIndex(b, 0);
  forLoop(
      b, zero, constantIndex(b, topK), constantF32(b, 0),
      [&](ImplicitLocOpBuilder &b, Value j,
          ValueRange before) -> SmallVector<Value> {
        Candidate chosen = best(b, keys, zero, experts);
        Value index = chosen.index, at = toIndex(b, index);
        store(b, constantI32(b, kTaken), keys, at);
        Value weight = op.getOfChosen() ? load(b, op.getLogits(), {token, at})
                                        : load(b, scores, at);
        Value key = numberOf(b, chosen.key);
        auto keepIf = [&](arith::CmpFPredicate predicate, Value x,
                          APFloat bound) {
          Value keep = arith::CmpFOp::create(
              b, predicate, x, constantF32(b, bound.convertToFloat()));
          index = arith::SelectOp::create(b, keep, index, constantI32(b, -1));
          weight = arith::SelectOp::create(b, keep, weight, constantF32(b, 0));
        };
        if (std::optional<APFloat> bound = op.getAbove())
          keepIf(arith::CmpFPredicate::OGT, key, *bound);
        Value mass = before[0];
        if (std::optional<APFloat> bound = op.getUntil()) {
          keepIf(arith::CmpFPredicate::OLT, mass, *bound);
          mass = arith::AddFOp::create(b, mass, key);
        }
        store(b, index, op.getIdxInit(), {token, j});
        store(b, weight, slots, j);
        return {mass};
      });
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

/// Makes weights of `slots`.
void RouteItem::weigh(ImplicitLocOpBuilder &b) {
  Value zero = constantIndex(b, 0);
  if (op.getOfChosen())
    score(b, topK, slots, [&](ImplicitLocOpBuilder &b, Value i, int64_t count) {
      Value lowest = constantF32(b, -std::numeric_limits<float>::infinity());
      return loadOr(b, lanes, slots, i, count, lowest);
    });
  Value divisor;
  if (op.getNorm() != Norm::None) {
    Value sum = forLoop(b, zero, constantIndex(b, topK), constantF32(b, 0),
                        [&](ImplicitLocOpBuilder &b, Value j,
                            ValueRange sum) -> SmallVector<Value> {
                          Value term = load(b, slots, j);
                          if (op.getNorm() == Norm::L2)
                            term = arith::MulFOp::create(b, term, term);
                          return {arith::AddFOp::create(b, sum[0], term)};
                        })
                    .getResult(0);
    divisor = emitDivisor(b, op.getNorm(), op.getPlusAttr(),
                          op.getAtLeastAttr(), sum);
  }
  forEachRegister(
      b, lanes, topK, [&](ImplicitLocOpBuilder &b, Value j, int64_t count) {
        Value weight = loadLanes(b, lanes, slots, j, count);
        if (divisor)
          weight = arith::DivFOp::create(b, weight, splat(b, divisor, lanes));
        if (std::optional<APFloat> scale = op.getScale())
          weight = arith::MulFOp::create(
              b, weight, constantLike(b, weight, scale->convertToFloat()));
        // The divisor of a token whose slots are all dropped may be 0.
        if (divisor && (op.getAbove() || op.getUntil())) {
          Value none = constantI32(b, -1);
          Value idx =
              loadOr(b, lanes, op.getIdxInit(), {token, j}, count, none);
          Value isDropped = arith::CmpIOp::create(b, arith::CmpIPredicate::eq,
                                                  idx, splat(b, none, lanes));
          weight =
              arith::SelectOp::create(b, isDropped, zeros(b, lanes), weight);
        }
        storeLanes(b, weight, op.getWeightsInit(), {token, j}, count);
      });
}

int64_t RouteItem::work() const {
  // Scores take about three walks.
  return experts * (3 + topK);
}

void RouteItem::emit(ImplicitLocOpBuilder &b, Value begin, Value end) {
  if (!op.getOfChosen())
    scores = scratch(b, experts, b.getF32Type());
  keys = scratch(b, experts, b.getI32Type());
  slots = scratch(b, topK, b.getF32Type());
  forEach(b, begin, end, 1, [&](ImplicitLocOpBuilder &b, Value t) {
    token = t;
    makeKeys(b);
    select(b);
    weigh(b);
  });
}

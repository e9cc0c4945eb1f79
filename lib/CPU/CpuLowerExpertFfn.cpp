//===- CpuLowerExpertFfn.cpp - Packed expert_ffn becomes panel kernels ----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// 1. Sort the slots by expert (a counting sort) and cut them into chunks.
// 2. In one list of work items:
//    a. Multiply the rows of their tokens with gate and up, which share a
//       panel, and apply the activation.
//    b. Multiply with down; slot t*k+j has a row of its own.
//    c. When all slots are done, add the rows of each token in slot order.
//       To do that when the last slot of a token is done was 3 % slower at 1024
//       tokens: rows of tokens in order are one stream of memory, others not.
//
//===----------------------------------------------------------------------===//

#include "AmxTiles.h"
#include "Loops.h"
#include "Products.h"

#include "moe/CPU/Passes.h"
#include "moe/IR/Activations.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPULOWEREXPERTFFNPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-lower-expert-ffn"

using namespace mlir;
using namespace mlir::moe;

/// Registers that are added at a time.
static constexpr int64_t kCombineRegisters = 4;

/// Calls `body` with each slot that has an expert.
static void forEachSlot(
    ImplicitLocOpBuilder &b, Value idx,
    function_ref<void(ImplicitLocOpBuilder &b, Value slot, Value expert)>
        body) {
  Value topK = dim(b, idx, 1);
  forEach(b, dim(b, idx, 0), [&](ImplicitLocOpBuilder &b, Value token) {
    forEach(b, topK, [&](ImplicitLocOpBuilder &b, Value j) {
      Value expert = load(b, idx, {token, j});
      Value chosen = arith::CmpIOp::create(b, arith::CmpIPredicate::sge, expert,
                                           constantI32(b, 0));
      branch(b, chosen, [&](ImplicitLocOpBuilder &b) {
        body(b, add(b, mul(b, token, topK), j), toIndex(b, expert));
      });
    });
  });
}

/// Adds `amount` to `counters[i]`; returns the value before.
static Value fetchAdd(ImplicitLocOpBuilder &b, Value counters, Value i,
                      Value amount) {
  Value old = load(b, counters, i);
  store(b, arith::AddIOp::create(b, old, amount), counters, i);
  return old;
}

/// Sorts the slots by expert into `sorted`. Returns where each expert's slots
/// begin and, last, where all end.
static Value sortSlots(ImplicitLocOpBuilder &b, Value idx, int64_t experts,
                       Value sorted) {
  // Counts are made two places to the right, so that sums over them are, one
  // place to the right, where each expert begins. Filling moves that to where
  // it ends, which is where the next one begins.
  Value offsets = alloc(b, {experts + 2}, b.getI32Type());
  Value zero = constantI32(b, 0), one = constantI32(b, 1);
  Value size = constantIndex(b, experts + 2);
  forEach(b, size, [&](ImplicitLocOpBuilder &b, Value i) {
    store(b, zero, offsets, i);
  });
  forEachSlot(b, idx, [&](ImplicitLocOpBuilder &b, Value, Value expert) {
    fetchAdd(b, offsets, add(b, expert, 2), one);
  });
  forEach(b, constantIndex(b, 1), size, 1,
          [&](ImplicitLocOpBuilder &b, Value i) {
            Value before = load(b, offsets, sub(b, i, constantIndex(b, 1)));
            fetchAdd(b, offsets, i, before);
          });
  forEachSlot(b, idx, [&](ImplicitLocOpBuilder &b, Value slot, Value expert) {
    Value at = fetchAdd(b, offsets, add(b, expert, 1), one);
    store(b, toI32(b, slot), sorted, toIndex(b, at));
  });
  return offsets;
}

/// `count` registers of an expert's bias from `column` on; what stands beyond
/// the last column is not said.
static SmallVector<Value> loadBias(ImplicitLocOpBuilder &b, const Level &level,
                                   Value bias, Value expert, Value column,
                                   size_t count) {
  auto type = cast<MemRefType>(bias.getType());
  int64_t extent = type.getDimSize(1);
  auto f32s = VectorType::get({level.lanes}, b.getF32Type());
  SmallVector<Value> registers;
  for (size_t i = 0; i < count; ++i) {
    Value at = add(b, column, i * level.lanes);
    if (extent % kPanelColumns == 0) {
      Value own = vector::LoadOp::create(b, f32s.clone(type.getElementType()),
                                         bias, ValueRange{expert, at});
      registers.push_back(
          type.getElementType().isF32()
              ? own
              : arith::ExtFOp::create(b, f32s, own).getResult());
      continue;
    }
    // LLVM calls a function for each element of a masked bf16 load on AVX2.
    SmallVector<Value> elements;
    for (int64_t lane = 0; lane < level.lanes; ++lane) {
      Value place = min(b, add(b, at, lane), extent - 1);
      elements.push_back(toF32(b, load(b, bias, {expert, place})));
    }
    registers.push_back(vector::FromElementsOp::create(b, f32s, elements));
  }
  return registers;
}

/// Sums of registers; without `addends`, the registers.
static SmallVector<Value> addAll(ImplicitLocOpBuilder &b, ValueRange registers,
                                 ValueRange addends) {
  SmallVector<Value> sums(registers);
  for (auto [sum, addend] : llvm::zip(sums, addends))
    sum = arith::AddFOp::create(b, sum, addend);
  return sums;
}

namespace {

/// Emits what happens to the products of one op.
class FfnEmitter {
public:
  using RowOf = function_ref<Value(ImplicitLocOpBuilder &b,
                                   const RowChunk &chunk, Value i)>;

  FfnEmitter(ExpertFfnOp op, const Level &level)
      : op(op), level(level), clauses(op.getClauses()) {}

  using Sink = function_ref<void(ImplicitLocOpBuilder &b, ValueRange columns,
                                 Value i, Value column)>;

  /// Hands the activated products with gate and up, whose columns are the
  /// halves of each panel, or with up alone, to `sink`: those of row `i` of the
  /// chunk from `column` on.
  void activate(ImplicitLocOpBuilder &b, const PanelSums &sums, Sink sink);

  /// Writes the products with down to the rows of `rows` that `rowOf` names:
  /// past the caches if there are `many`.
  void store(ImplicitLocOpBuilder &b, const PanelSums &sums, Value many,
             Value rows, RowOf rowOf);

private:
  /// The bias number `i` from `column` on; none if there are no biases.
  SmallVector<Value> bias(ImplicitLocOpBuilder &b, const PanelSums &sums,
                          int64_t i, Value column, size_t registers) {
    if (op.getBiases().empty())
      return {};
    return loadBias(b, level, op.getBiases()[i], sums.chunk.group, column,
                    registers);
  }

  ExpertFfnOp op;
  const Level &level;
  GluClauses clauses;
};

} // namespace

void FfnEmitter::activate(ImplicitLocOpBuilder &b, const PanelSums &sums,
                          Sink sink) {
  int64_t parts = clauses.isGated() ? 2 : 1;
  size_t number = kPanelColumns / parts / level.lanes;
  Value column = mul(b, sums.panel, kPanelColumns / parts);
  SmallVector<Value> biases;
  for (int64_t part = 0; part < parts; ++part)
    biases.append(bias(b, sums, part, column, number));
  forEachRow(b, level, sums,
             [&](ImplicitLocOpBuilder &b, Value i, ValueRange columns) {
               SmallVector<Value> biased = addAll(b, columns, biases);
               SmallVector<Value> activated;
               for (size_t c = 0; c < number; ++c)
                 activated.push_back(
                     emitGlu(b, clauses, biased[c],
                             clauses.isGated() ? biased[number + c] : Value()));
               sink(b, activated, i, column);
             });
}

void FfnEmitter::store(ImplicitLocOpBuilder &b, const PanelSums &sums,
                       Value many, Value rows, RowOf rowOf) {
  Value column = mul(b, sums.panel, kPanelColumns);
  SmallVector<Value> biases = bias(b, sums, op.getBiases().size() - 1, column,
                                   kPanelColumns / level.lanes);
  auto storeBy = [&](auto storeRow) {
    return [&, storeRow](ImplicitLocOpBuilder &b) {
      forEachRow(b, level, sums,
                 [&](ImplicitLocOpBuilder &b, Value i, ValueRange columns) {
                   storeRow(b, addAll(b, columns, biases), rows,
                            rowOf(b, sums.chunk, i), column);
                 });
    };
  };
  if (canStreamColumns(rows))
    branch(b, many, storeBy(streamColumns), storeBy(storeColumns));
  else
    storeBy(storeColumns)(b);
}

/// out[t] = sum_j weights[t,j] * rows[t*k+j], in the order of j, without the
/// slots that have no expert.
static void combine(ImplicitLocOpBuilder &b, const Level &level, Value rows,
                    Value idx, Value weights, Value out, Value token) {
  int64_t columns = cast<MemRefType>(out.getType()).getDimSize(1);
  auto f32s = VectorType::get({level.lanes}, b.getF32Type());
  bool whole = columns % level.lanes == 0;
  int64_t registers =
      columns % (level.lanes * kCombineRegisters) == 0 ? kCombineRegisters : 1;
  Value topK = dim(b, idx, 1);
  auto addSlots = [&](ImplicitLocOpBuilder &b, Value column) {
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(f32s));
    SmallVector<Value> zeros(registers, zero);
    auto addSlot = [&](ImplicitLocOpBuilder &b, Value j,
                       ValueRange sums) -> SmallVector<Value> {
      Value chosen =
          arith::CmpIOp::create(b, arith::CmpIPredicate::sge,
                                load(b, idx, {token, j}), constantI32(b, 0));
      Value slot = add(b, mul(b, token, topK), j);
      auto added = scf::IfOp::create(
          b, chosen,
          [&](OpBuilder &nested, Location loc) {
            ImplicitLocOpBuilder b(loc, nested);
            Value weight = vector::BroadcastOp::create(
                b, f32s, load(b, weights, {token, j}));
            SmallVector<Value> next;
            for (auto [i, sum] : llvm::enumerate(sums)) {
              Value values = vector::TransferReadOp::create(
                  b, f32s, rows,
                  ValueRange{slot, add(b, column, i * level.lanes)},
                  constantF32(b, 0), ArrayRef<bool>{whole});
              next.push_back(vector::FMAOp::create(b, weight, values, sum));
            }
            scf::YieldOp::create(b, next);
          },
          [&](OpBuilder &nested, Location loc) {
            scf::YieldOp::create(nested, loc, sums);
          });
      return added.getResults();
    };
    auto sums = forLoop(b, constantIndex(b, 0), topK, zeros, addSlot);
    for (auto [i, sum] : llvm::enumerate(sums.getResults()))
      vector::TransferWriteOp::create(
          b, sum, out, ValueRange{token, add(b, column, i * level.lanes)},
          ArrayRef<bool>{whole});
  };
  forEach(b, constantIndex(b, 0), constantIndex(b, columns),
          level.lanes * registers, addSlots);
}

static LogicalResult lower(ExpertFfnOp op, const Target &target) {
  const Level *level = getLevel(op);
  if (!level)
    return failure();
  if (failed(expectKernel(op, *level, op.getCompute())))
    return failure();
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  Value idx = op.getIdx(), up = op.getWeights()[0];
  Value down = op.getWeights()[1], out = op.getInit();
  int64_t experts = op.getNumExperts();
  Value topK = dim(b, idx, 1);
  Value numSlots = mul(b, dim(b, idx, 0), topK);

  Value sorted = alloc(b, {ShapedType::kDynamic}, b.getI32Type(), numSlots);
  Value offsets = sortSlots(b, idx, experts, sorted);
  PackFormat format = *op.getPacked();
  Compute compute = op.getCompute();
  int64_t columns = cast<MemRefType>(out.getType()).getDimSize(1);
  int64_t longest = std::max<int64_t>(columns, *op.getInner());
  RowChunks chunks =
      RowChunks::grouped(b, offsets, experts, numSlots,
                         getBlocking(target, *level, format, compute, longest,
                                     cast<MemRefType>(up.getType())));
  FfnEmitter emitter(op, *level);
  auto slotOf = [&](ImplicitLocOpBuilder &b, const RowChunk &chunk, Value i) {
    return toIndex(b, load(b, sorted, add(b, chunk.first, i)));
  };
  auto tokenOf = [&](ImplicitLocOpBuilder &b, const RowChunk &chunk, Value i) {
    return div(b, slotOf(b, chunk, i), topK);
  };
  Value rows =
      alloc(b, {ShapedType::kDynamic, columns}, b.getF32Type(), numSlots);

  // Hidden rows of all chunks, or of a chunk for each thread. Where they are
  // packed at once, there is room for whole registers at the end of each group.
  int64_t inner = *op.getInner();
  RowLayout layout(*level, format, compute);
  bool isPacked = layout.canStoreColumns(inner);
  Value whole = hasManyChunks(b, chunks, numSlots);
  Value maxRows = layout.roundUpRows(b, chunks.getMaxRows(b));
  int64_t more = isPacked ? kAmxRows : 0;
  Value numHidden = max(b, add(b, numSlots, experts * more),
                        mul(b, NumThreadsOp::create(b), maxRows));
  auto hiddenOf = [&](ImplicitLocOpBuilder &b, const RowChunk &chunk, Value i) {
    Value first = add(b, chunk.first, mul(b, chunk.group, more));
    return add(b, select(b, whole, mul(b, chunk.thread, maxRows), first), i);
  };
  int64_t rowBytes = layout.getRowBytes(inner);
  Value hidden = isPacked ? alloc(b, {ShapedType::kDynamic}, b.getI8Type(),
                                  mul(b, numHidden, rowBytes))
                          : alloc(b, {ShapedType::kDynamic, inner},
                                  b.getF32Type(), numHidden);
  auto storeHidden = [&](ImplicitLocOpBuilder &b, const PanelSums &sums) {
    const RowChunk &chunk = sums.chunk;
    Value first = hiddenOf(b, chunk, constantIndex(b, 0));
    emitter.activate(
        b, sums,
        [&](ImplicitLocOpBuilder &b, ValueRange columns, Value i,
            Value column) {
          if (isPacked)
            layout.storeColumns(b, columns, inner, chunk.count, i, column,
                                hidden, mul(b, first, rowBytes));
          else
            storeColumns(b, columns, hidden, add(b, first, i), column);
        });
  };
  Stage upward = {{op.getX(), up, format, compute, tokenOf}, storeHidden};
  Stage downward = {
      {hidden, down, format, compute, hiddenOf, isPacked ? inner : 0},
      [&](ImplicitLocOpBuilder &b, const PanelSums &sums) {
        emitter.store(b, sums, whole, rows, slotOf);
      }};

  multiplyBoth(b, *level, chunks, whole, upward, downward, dim(b, idx, 0),
               [&](ImplicitLocOpBuilder &b, Value token) {
                 combine(b, *level, rows, idx, op.getSlotWeights(), out, token);
               });
  op.erase();
  return success();
}

namespace {

struct CpuLowerExpertFfnPass final
    : moe::impl::CpuLowerExpertFfnPassBase<CpuLowerExpertFfnPass> {
  void runOnOperation() override {
    FailureOr<Target> target = Target::get(getOperation());
    if (failed(target))
      return signalPassFailure();
    SmallVector<ExpertFfnOp> ops;
    getOperation()->walk([&](ExpertFfnOp op) {
      if (op.getPacked() && !op.getResult())
        ops.push_back(op);
    });
    for (ExpertFfnOp op : ops)
      if (failed(lower(op, *target)))
        return signalPassFailure();
  }
};

} // namespace

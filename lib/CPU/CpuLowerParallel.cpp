//===- CpuLowerParallel.cpp - Parallel loops to regions of threads --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   counter = 0
//   on each thread of the call:
//     while (begin = counter; counter += share; begin < n)    (atomically)
//       for i = begin to min(begin + share, n): the body
//
// OpenMP starts and joins the threads. It does not divide the work: its runtime
// may allocate memory for that, and a call must not.
//
//===----------------------------------------------------------------------===//

#include "Levels.h"
#include "Loops.h"
#include "moe/CPU/Passes.h"
#include "moe/Support/CallStruct.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/Dialect/SCF/Utils/Utils.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPULOWERPARALLELPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-lower-parallel"

using namespace mlir;
using namespace mlir::moe;

/// Shares that a thread would take if all were equally fast: the more, the
/// better the balance; the fewer, the less threads wait for the counter.
static constexpr int64_t kSharesPerThread = 8;

static LogicalResult verify(scf::ParallelOp loop) {
  if (loop.getNumLoops() != 1 || loop.getNumReductions() != 0 ||
      !isConstantIntValue(loop.getLowerBound()[0], 0) ||
      !isConstantIntValue(loop.getStep()[0], 1))
    return loop.emitError("expected one dimension from 0 in steps of 1");
  WalkResult result = loop.getBody()->walk([](Operation *op) -> WalkResult {
    if (isa<scf::ParallelOp>(op))
      return op->emitError("expected no parallel loop in another");
    if (isa<memref::AllocaOp>(op) && op->getNumOperands() != 0)
      return op->emitError(
          "expected a static size of a stack buffer in a parallel loop");
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

/// Makes a function of the loop's body, which calls it.
static FailureOr<func::FuncOp> outline(scf::ParallelOp loop, StringRef name) {
  auto function = loop->getParentOfType<func::FuncOp>();
  IRRewriter rewriter(loop->getContext());
  FailureOr<func::FuncOp> body =
      outlineSingleBlockRegion(rewriter, loop.getLoc(), loop.getRegion(), name);
  if (failed(body))
    return failure();
  for (StringRef attr : {StringRef(kIsaAttr), StringRef("target_cpu"),
                         StringRef("target_features")})
    if (Attribute value = function->getAttr(attr))
      (*body)->setAttr(attr, value);
  return body;
}

/// loop -> if (its work is worth threads) loop, else the same in serial, both
/// with calls of one function of its body. OpenMP can decide that too, but it
/// allocates memory for a region of one thread.
static LogicalResult guard(scf::ParallelOp loop, Value threads,
                           StringRef name) {
  auto work = loop->getAttrOfType<IntegerAttr>(kWorkAttr);
  if (!work)
    return success();
  if (failed(outline(loop, name)))
    return failure();
  ImplicitLocOpBuilder b(loop.getLoc(), loop);
  Value count = loop.getUpperBound()[0];
  Value enough = arith::CmpIOp::create(b, arith::CmpIPredicate::uge,
                                       mul(b, count, work.getInt()),
                                       constantIndex(b, kParallelWork));
  auto isSeveral = [&](Value number) {
    Value one =
        arith::ConstantOp::create(b, b.getIntegerAttr(number.getType(), 1));
    return less(b, one, number);
  };
  Value several =
      arith::AndIOp::create(b, isSeveral(threads), isSeveral(count));
  auto choice = scf::IfOp::create(b, arith::AndIOp::create(b, enough, several),
                                  /*withElseRegion=*/true);
  b.setInsertionPointToStart(choice.elseBlock());
  forEach(b, count, [&](ImplicitLocOpBuilder &b, Value i) {
    IRMapping mapping;
    mapping.map(loop.getInductionVars()[0], i);
    for (Operation &op : loop.getBody()->without_terminator())
      b.clone(op, mapping);
  });
  loop->moveBefore(choice.thenYield());
  return success();
}

/// Moves the loop's body to where `b` inserts, as iteration `i`.
static void moveBody(ImplicitLocOpBuilder &b, scf::ParallelOp loop, Value i) {
  IRRewriter rewriter(b);
  rewriter.eraseOp(loop.getBody()->getTerminator());
  rewriter.inlineBlockBefore(loop.getBody(), b.getInsertionBlock(),
                             b.getInsertionPoint(), i);
  b.setInsertionPointToEnd(b.getInsertionBlock());
}

/// Lowers a loop for `threads` threads; `counter` is a memref<i64> that no
/// other loop uses at the same time.
static void lower(scf::ParallelOp loop, Value threads, Value counter) {
  ImplicitLocOpBuilder b(loop.getLoc(), loop);
  Type i64 = b.getI64Type();
  Value count = arith::IndexCastOp::create(b, i64, loop.getUpperBound()[0]);
  Value zero = arith::ConstantIntOp::create(b, i64, 0);
  Value one = arith::ConstantIntOp::create(b, i64, 1);
  Value shares =
      mul(b, threads, arith::ConstantIntOp::create(b, i64, kSharesPerThread));
  Value share = add(b, div(b, count, shares), one);
  store(b, zero, counter, {});

  omp::ParallelOperands clauses;
  clauses.numThreads = arith::TruncIOp::create(b, b.getI32Type(), threads);
  auto region = omp::ParallelOp::create(b, clauses);
  Block *block = b.createBlock(&region.getRegion());

  auto claim = [&](OpBuilder &nested, Location loc, ValueRange) {
    ImplicitLocOpBuilder b(loc, nested);
    Value begin = memref::AtomicRMWOp::create(b, arith::AtomicRMWKind::addi,
                                              share, counter, ValueRange());
    scf::ConditionOp::create(b, less(b, begin, count), begin);
  };
  auto work = [&](OpBuilder &nested, Location loc, ValueRange claimed) {
    ImplicitLocOpBuilder b(loc, nested);
    Value begin = claimed[0], end = min(b, add(b, begin, share), count);
    Type index = b.getIndexType();
    forEach(b, arith::IndexCastOp::create(b, index, begin),
            arith::IndexCastOp::create(b, index, end), 1,
            [&](ImplicitLocOpBuilder &b, Value i) { moveBody(b, loop, i); });
    scf::YieldOp::create(b);
  };
  scf::WhileOp::create(b, TypeRange{i64}, ValueRange(), claim, work);
  omp::TerminatorOp::create(b);
  loop.erase();

  // Once per thread, not once per iteration.
  region.walk([&](memref::AllocaOp buffer) {
    buffer->moveBefore(block, block->begin());
  });
}

/// Lowers a loop to the thread that calls. Its body stays a function: where
/// many are one, their constants take the registers that loops need.
static LogicalResult lowerToOneThread(scf::ParallelOp loop, StringRef name) {
  FailureOr<func::FuncOp> body = outline(loop, name);
  if (failed(body))
    return failure();
  ImplicitLocOpBuilder b(loop.getLoc(), loop);
  (*body)->setAttr("passthrough", b.getStrArrayAttr({"noinline"}));
  forEach(b, loop.getUpperBound()[0],
          [&](ImplicitLocOpBuilder &b, Value i) { moveBody(b, loop, i); });
  loop.erase();
  return success();
}

namespace {

struct CpuLowerParallelPass final
    : moe::impl::CpuLowerParallelPassBase<CpuLowerParallelPass> {
  void runOnOperation() override {
    for (auto function : llvm::to_vector(getOperation().getOps<func::FuncOp>()))
      if (failed(lowerLoops(function)))
        return signalPassFailure();
  }

  LogicalResult lowerLoops(func::FuncOp function) {
    SmallVector<scf::ParallelOp> loops;
    function.walk([&](scf::ParallelOp loop) { loops.push_back(loop); });
    if (loops.empty())
      return success();
    for (scf::ParallelOp loop : loops)
      if (failed(verify(loop)))
        return failure();

    numLoops += loops.size();
    const Level *level = getLevel(function);
    if (!level)
      return failure();
    OpBuilder builder = OpBuilder::atBlockBegin(&function.getBody().front());
    ImplicitLocOpBuilder b(function.getLoc(), builder);
    Value threads, counter;
    if (level->hasThreads) {
      threads = loadCallField(b, function.getArgument(0), CallField::Threads);
      counter =
          memref::AllocaOp::create(b, MemRefType::get({}, b.getI64Type()));
    }
    for (auto [number, loop] : llvm::enumerate(loops)) {
      std::string name = (function.getName() + ".body" + Twine(number)).str();
      if (!level->hasThreads) {
        if (failed(lowerToOneThread(loop, name)))
          return failure();
        continue;
      }
      if (failed(guard(loop, threads, name)))
        return failure();
      lower(loop, threads, counter);
    }
    return success();
  }
};

} // namespace

//===- CpuLowerParallel.cpp - Parallel loops on a team of threads ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An entry becomes a function that each thread of a team runs as a whole:
//
//   a parallel loop     its iterations are shared, if its work is worth it:
//                         while (begin = counter; counter += share; begin < n)
//                           for i = begin to min(begin + share, n): the body
//                       and done by the leader of the team otherwise
//   a loop or a branch  done by all, if there is a parallel loop in it
//   an op that writes   done by the leader; results go to all through memory
//   any other op        done by all
//
// Between ops, threads wait for each other where one would otherwise read what
// another has not yet written, or write what another has not yet read. Which
// accesses there were since they last waited is the same for all threads, so
// that all know when to wait.
//
// At a level without threads, a parallel loop becomes a loop.
//
// OpenMP starts and joins the threads. It does not divide the work: its runtime
// may allocate memory for that, and a call must not. It would also allocate
// memory for a team of one, which therefore calls the function by itself.
//
//===----------------------------------------------------------------------===//

#include "Levels.h"
#include "Loops.h"
#include "moe/CPU/Passes.h"
#include "moe/IR/MoE.h"
#include "moe/Support/CallStruct.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/Dialect/SCF/Utils/Utils.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

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

/// Accesses since the threads last waited for each other.
enum Access : int32_t {
  kReadByAll = 1,
  kWrittenByLeader = 2,
  kWrittenByAll = 4,
  /// A result that the leader handed to all was read.
  kResultRead = 8,
  kAnyAccess = 15
};

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

/// Gives `function` the target of `like`.
static void setTarget(func::FuncOp function, func::FuncOp like) {
  for (StringRef attr : {StringRef(kIsaAttr), StringRef("target_cpu"),
                         StringRef("target_features")})
    if (Attribute value = like->getAttr(attr))
      function->setAttr(attr, value);
}

/// Makes the body of a loop in `entry` a call of a function, which has stack
/// buffers of its own.
static FailureOr<func::FuncOp> outline(scf::ParallelOp loop, func::FuncOp entry,
                                       int64_t number) {
  std::string name = (entry.getName() + ".body" + Twine(number)).str();
  IRRewriter rewriter(loop->getContext());
  FailureOr<func::FuncOp> body =
      outlineSingleBlockRegion(rewriter, loop.getLoc(), loop.getRegion(), name);
  if (failed(body))
    return failure();
  body->setPrivate();
  setTarget(*body, entry);
  return body;
}

/// Moves the loop's body to where `b` inserts, as iteration `i`.
static void inlineBody(ImplicitLocOpBuilder &b, scf::ParallelOp loop, Value i) {
  IRRewriter rewriter(b);
  rewriter.eraseOp(loop.getBody()->getTerminator());
  rewriter.inlineBlockBefore(loop.getBody(), b.getInsertionBlock(),
                             b.getInsertionPoint(), i);
  b.setInsertionPointToEnd(b.getInsertionBlock());
}

/// Lowers the loops of `entry` to the thread that calls. Bodies stay functions:
/// where many are one, their constants take the registers that loops need.
static LogicalResult lowerToOneThread(func::FuncOp entry) {
  SmallVector<scf::ParallelOp> loops;
  entry.walk([&](scf::ParallelOp loop) { loops.push_back(loop); });
  int64_t number = 0;
  for (scf::ParallelOp loop : loops) {
    FailureOr<func::FuncOp> body = outline(loop, entry, number++);
    if (failed(body))
      return failure();
    ImplicitLocOpBuilder b(loop.getLoc(), loop);
    (*body)->setAttr("passthrough", b.getStrArrayAttr({"noinline"}));
    forEach(b, loop.getUpperBound()[0],
            [&](ImplicitLocOpBuilder &b, Value i) { inlineBody(b, loop, i); });
    loop.erase();
  }
  return success();
}

static bool hasParallelLoop(Operation *op) {
  return op->walk([](scf::ParallelOp) { return WalkResult::interrupt(); })
      .wasInterrupted();
}

static bool areReads(ArrayRef<MemoryEffects::EffectInstance> effects) {
  return llvm::all_of(effects, [](const auto &effect) {
    return isa<MemoryEffects::Read>(effect.getEffect());
  });
}

/// True if `buffer` and views of it are only read.
static bool isNeverWritten(Value buffer) {
  return llvm::all_of(buffer.getUsers(), [](Operation *user) {
    if (isa<ViewLikeOpInterface>(user))
      return llvm::all_of(user->getResults(), isNeverWritten);
    auto effects = getEffectsRecursively(user);
    return isa<memref::DimOp>(user) ||
           (user->getNumRegions() == 0 && effects && !effects->empty() &&
            areReads(*effects));
  });
}

namespace {

/// Makes the function of a team of an entry.
class TeamBuilder {
public:
  TeamBuilder(func::FuncOp entry) : entry(entry) {}

  LogicalResult build();

private:
  void moveBody();
  void callTeam();
  LogicalResult distribute(Block::iterator begin, Block::iterator end);
  LogicalResult share(scf::ParallelOp loop);
  LogicalResult lead(Operation *op);
  void readByAll(Operation *op);
  bool needsNoWait(const MemoryEffects::EffectInstance &read);

  Value addArgument(Type type);
  /// Adds an argument for a buffer of the entry that all threads share.
  Value addShared(MemRefType type);
  /// Waits for the other threads if there was an access of `mask`.
  void waitAfter(ImplicitLocOpBuilder &b, Value mask);
  void waitAfter(ImplicitLocOpBuilder &b, int32_t mask) {
    waitAfter(b, constantI32(b, mask));
  }
  void noteAccess(ImplicitLocOpBuilder &b, Value access);
  void noteAccess(ImplicitLocOpBuilder &b, Access access) {
    noteAccess(b, constantI32(b, access));
  }

  func::FuncOp entry, team;
  /// Arguments of the entry that are only read.
  llvm::DenseSet<Value> inputs;
  /// Arguments of the team's function: whether the thread leads, whether there
  /// are others, and two counters, of which loops use one and the other in
  /// turn, so that the one that rests can be set back to 0.
  Value leads, hasOthers, counters;
  /// The thread's own: accesses, and which counter comes next.
  Value accesses, turn;
  Value threads;
  /// The types of `counters` and of what comes after it.
  SmallVector<MemRefType> shared;
  int64_t numLoops = 0;
};

} // namespace

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

Value TeamBuilder::addArgument(Type type) {
  unsigned index = team.getNumArguments();
  (void)team.insertArgument(index, type, {}, team.getLoc());
  return team.getArgument(index);
}

Value TeamBuilder::addShared(MemRefType type) {
  shared.push_back(type);
  return addArgument(type);
}

//===----------------------------------------------------------------------===//
// Waiting
//===----------------------------------------------------------------------===//

void TeamBuilder::waitAfter(ImplicitLocOpBuilder &b, Value mask) {
  Value none = constantI32(b, 0);
  Value found = arith::AndIOp::create(b, load(b, accesses, {}), mask);
  Value isFound =
      arith::CmpIOp::create(b, arith::CmpIPredicate::ne, found, none);
  branch(b, isFound, [&](ImplicitLocOpBuilder &b) {
    omp::BarrierOp::create(b);
    store(b, none, accesses, {});
  });
}

void TeamBuilder::noteAccess(ImplicitLocOpBuilder &b, Value access) {
  // A thread alone never waits.
  Value noted = select(b, hasOthers, access, constantI32(b, 0));
  store(b, arith::OrIOp::create(b, load(b, accesses, {}), noted), accesses, {});
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

/// Shares the iterations of a loop, or leaves them to the leader.
LogicalResult TeamBuilder::share(scf::ParallelOp loop) {
  if (failed(outline(loop, entry, numLoops++)))
    return failure();
  ImplicitLocOpBuilder b(loop.getLoc(), loop);
  auto constant = [](ImplicitLocOpBuilder &b, int64_t value) -> Value {
    return arith::ConstantIntOp::create(b, b.getI64Type(), value);
  };
  Value zero = constant(b, 0), one = constant(b, 1);
  Type i64 = b.getI64Type();
  Value count = arith::IndexCastOp::create(b, i64, loop.getUpperBound()[0]);
  Value isShared = arith::AndIOp::create(b, hasOthers, less(b, one, count));
  if (auto work = loop->getAttrOfType<IntegerAttr>(kWorkAttr)) {
    Value isWorthIt =
        less(b, constant(b, kParallelWork - 1),
             arith::MulIOp::create(b, count, constant(b, work.getInt())));
    isShared = arith::AndIOp::create(b, isShared, isWorthIt);
  }
  waitAfter(b, select(b, isShared, constantI32(b, kAnyAccess),
                      constantI32(b, kReadByAll | kWrittenByAll)));
  noteAccess(b, select(b, isShared, constantI32(b, kWrittenByAll),
                       constantI32(b, kWrittenByLeader)));

  Value counter = load(b, turn, {});
  Value other = sub(b, constantIndex(b, 1), counter);
  store(b, select(b, isShared, other, counter), turn, {});
  branch(b, arith::AndIOp::create(b, isShared, leads),
         [&](ImplicitLocOpBuilder &b) { store(b, zero, counters, other); });

  Value shares = mul(b, threads, constant(b, kSharesPerThread));
  Value size = select(b, isShared, add(b, div(b, count, shares), one), count);
  auto claim = [&](ImplicitLocOpBuilder &b, Value otherwise) {
    auto claimed = scf::IfOp::create(
        b, isShared,
        [&](OpBuilder &nested, Location loc) {
          ImplicitLocOpBuilder b(loc, nested);
          Value begin = memref::AtomicRMWOp::create(
              b, arith::AtomicRMWKind::addi, size, counters, counter);
          scf::YieldOp::create(b, begin);
        },
        [&](OpBuilder &nested, Location loc) {
          scf::YieldOp::create(nested, loc, otherwise);
        });
    return claimed.getResult(0);
  };
  auto isLeft = [&](OpBuilder &nested, Location loc, ValueRange begin) {
    ImplicitLocOpBuilder b(loc, nested);
    scf::ConditionOp::create(b, less(b, begin[0], count), begin);
  };
  auto work = [&](OpBuilder &nested, Location loc, ValueRange begin) {
    ImplicitLocOpBuilder b(loc, nested);
    Value end = min(b, add(b, begin[0], size), count);
    Type index = b.getIndexType();
    forEach(b, arith::IndexCastOp::create(b, index, begin[0]),
            arith::IndexCastOp::create(b, index, end), 1,
            [&](ImplicitLocOpBuilder &b, Value i) { inlineBody(b, loop, i); });
    Value next = claim(b, count);
    scf::YieldOp::create(b, next);
  };
  Value first = claim(b, select(b, leads, zero, count));
  scf::WhileOp::create(b, TypeRange{i64}, first, isLeft, work);
  loop.erase();
  return success();
}

/// Lets the leader do `op`, and hands its results to all.
LogicalResult TeamBuilder::lead(Operation *op) {
  auto results = llvm::filter_to_vector(
      op->getResults(), [](Value result) { return !result.use_empty(); });
  ImplicitLocOpBuilder b(op->getLoc(), op);
  int32_t before = kReadByAll | kWrittenByAll;
  waitAfter(b, results.empty() ? before : before | kResultRead);
  noteAccess(b, kWrittenByLeader);
  auto ifLeads = scf::IfOp::create(b, leads, /*withElseRegion=*/false);
  op->moveBefore(ifLeads.thenYield());
  if (results.empty())
    return success();

  b.setInsertionPointAfter(ifLeads);
  waitAfter(b, kWrittenByLeader);
  noteAccess(b, kResultRead);
  ImplicitLocOpBuilder inner(op->getLoc(), ifLeads.thenYield());
  for (OpResult result : results) {
    if (!result.getType().isIntOrIndexOrFloat())
      return op->emitError("expected numbers as results of an op that writes, "
                           "got ")
             << result.getType();
    Value buffer = addShared(MemRefType::get({}, result.getType()));
    result.replaceAllUsesWith(load(b, buffer, {}));
    store(inner, result, buffer, {});
  }
  return success();
}

void TeamBuilder::readByAll(Operation *op) {
  ImplicitLocOpBuilder b(op->getLoc(), op);
  waitAfter(b, kWrittenByLeader | kWrittenByAll);
  noteAccess(b, kReadByAll);
}

/// True if what is read is never written.
bool TeamBuilder::needsNoWait(const MemoryEffects::EffectInstance &read) {
  Value buffer = read.getValue();
  while (buffer) {
    if (inputs.contains(buffer))
      return true;
    auto view = buffer.getDefiningOp<ViewLikeOpInterface>();
    buffer = view ? view.getViewSource() : Value();
  }
  return false;
}

/// Makes ops of a block the work of a team.
LogicalResult TeamBuilder::distribute(Block::iterator begin,
                                      Block::iterator end) {
  for (Operation &op :
       llvm::make_early_inc_range(llvm::make_range(begin, end))) {
    if (auto loop = dyn_cast<scf::ParallelOp>(op)) {
      if (failed(share(loop)))
        return failure();
      continue;
    }
    if (hasParallelLoop(&op)) {
      for (Region &region : op.getRegions())
        for (Block &block : region)
          if (failed(distribute(block.begin(), std::prev(block.end()))))
            return failure();
      continue;
    }
    auto member = dyn_cast<LLVM::LoadOp>(op);
    if (member && member.getInvariant())
      continue;
    auto effects = getEffectsRecursively(&op);
    if (!effects || !areReads(*effects)) {
      if (failed(lead(&op)))
        return failure();
    } else if (!llvm::all_of(*effects, [&](const auto &effect) {
                 return needsNoWait(effect);
               })) {
      readByAll(&op);
    }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

/// Moves the body of the entry to the function of the team.
void TeamBuilder::moveBody() {
  ImplicitLocOpBuilder b(entry.getLoc(), entry);
  team = func::FuncOp::create(b, (entry.getName() + ".team").str(),
                              entry.getFunctionType());
  team.setPrivate();
  setTarget(team, entry);
  team.getBody().takeBody(entry.getBody());
  leads = addArgument(b.getI1Type());
  hasOthers = addArgument(b.getI1Type());
  counters = addShared(MemRefType::get({2}, b.getI64Type()));

  b.setInsertionPointToStart(&team.getBody().front());
  threads = loadCallField(b, team.getArgument(0), CallField::Threads);
  accesses = memref::AllocaOp::create(b, MemRefType::get({}, b.getI32Type()));
  store(b, constantI32(b, 0), accesses, {});
  turn = memref::AllocaOp::create(b, MemRefType::get({}, b.getIndexType()));
  store(b, constantIndex(b, 0), turn, {});
}

/// `omp_get_thread_num`, declared.
static func::FuncOp getThreadNumber(ModuleOp module) {
  constexpr StringLiteral name = "omp_get_thread_num";
  if (auto known = module.lookupSymbol<func::FuncOp>(name))
    return known;
  ImplicitLocOpBuilder b(module.getLoc(), module.getBodyRegion());
  auto function =
      func::FuncOp::create(b, name, b.getFunctionType({}, b.getI32Type()));
  function.setPrivate();
  return function;
}

/// Makes the entry call the function of the team on each thread of the call.
void TeamBuilder::callTeam() {
  func::FuncOp getNumber = getThreadNumber(entry->getParentOfType<ModuleOp>());
  OpBuilder builder = OpBuilder::atBlockBegin(entry.addEntryBlock());
  ImplicitLocOpBuilder b(entry.getLoc(), builder);
  SmallVector<Value> buffers;
  for (MemRefType type : shared)
    buffers.push_back(memref::AllocaOp::create(b, type));
  Value zero = arith::ConstantIntOp::create(b, b.getI64Type(), 0);
  for (int64_t i = 0; i < 2; ++i)
    store(b, zero, buffers.front(), constantIndex(b, i));

  auto flag = [](ImplicitLocOpBuilder &b, bool value) -> Value {
    return arith::ConstantIntOp::create(b, value, /*width=*/1);
  };
  auto call = [&](ImplicitLocOpBuilder &b, Value leads, Value hasOthers) {
    SmallVector<Value> operands(entry.getArguments());
    operands.append({leads, hasOthers});
    operands.append(buffers);
    func::CallOp::create(b, team, operands);
  };
  Value number = loadCallField(b, entry.getArgument(0), CallField::Threads);
  Value one = arith::ConstantIntOp::create(b, b.getI64Type(), 1);
  branch(
      b, less(b, one, number),
      [&](ImplicitLocOpBuilder &b) {
        omp::ParallelOperands clauses;
        clauses.numThreads = arith::TruncIOp::create(b, b.getI32Type(), number);
        auto region = omp::ParallelOp::create(b, clauses);
        OpBuilder::InsertionGuard guard(b);
        b.createBlock(&region.getRegion());
        Value own = func::CallOp::create(b, getNumber).getResult(0);
        Value leads = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, own,
                                            constantI32(b, 0));
        call(b, leads, flag(b, true));
        omp::TerminatorOp::create(b);
      },
      [&](ImplicitLocOpBuilder &b) { call(b, flag(b, true), flag(b, false)); });
  func::ReturnOp::create(b);
}

LogicalResult TeamBuilder::build() {
  if (entry.getNumResults() != 0 || !entry.getBody().hasOneBlock())
    return entry.emitOpError("expected one block and no results of a function "
                             "with parallel loops");
  for (Value argument : entry.getArguments())
    if (isa<MemRefType>(argument.getType()) && isNeverWritten(argument))
      inputs.insert(argument);
  Block &body = entry.getBody().front();
  Block::iterator first = body.begin();
  moveBody();
  if (failed(distribute(first, std::prev(body.end()))))
    return failure();
  callTeam();
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
    WalkResult walk = function.walk([&](scf::ParallelOp loop) -> WalkResult {
      ++numLoops;
      return verify(loop);
    });
    if (walk.wasInterrupted())
      return failure();
    if (!hasParallelLoop(function))
      return success();
    const Level *level = getLevel(function);
    if (!level)
      return failure();
    return level->hasThreads ? TeamBuilder(function).build()
                             : lowerToOneThread(function);
  }
};

} // namespace

//===- LowerTrace.cpp - Entries record when their stages run --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   begin = the CPU's counter
//   the stage
//   @moe.record(call.trace, stage, iteration, begin)
//
//===----------------------------------------------------------------------===//

#include "moe/IR/MoE.h"
#include "moe/Lower/Passes.h"
#include "moe/Support/CallStruct.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/MapVector.h"

#define DEBUG_TYPE "moe-lower-trace"

using namespace mlir;
using namespace mlir::moe;

namespace mlir::moe {
#define GEN_PASS_DEF_LOWERTRACEPASS
#include "moe/Lower/Passes.h.inc"
} // namespace mlir::moe

/// The name of what `op` came from, if it has one and takes time.
static StringAttr stageName(Operation *op) {
  if (op->getNumRegions() == 0 && !isa<memref::CopyOp>(op))
    return {};
  auto name = op->getLoc()->findInstanceOf<NameLoc>();
  return name ? name.getName() : StringAttr();
}

static Value constant(ImplicitLocOpBuilder &b, int64_t value) {
  return arith::ConstantIntOp::create(b, b.getI64Type(), value);
}

static Value readCounter(ImplicitLocOpBuilder &b) {
  return LLVM::CallIntrinsicOp::create(b, b.getI64Type(),
                                       b.getStringAttr("llvm.readcyclecounter"),
                                       ValueRange())
      .getResult(0);
}

/// The address of member `index` of a structure whose members have 8 bytes.
static Value memberOf(ImplicitLocOpBuilder &b, Value base, LLVM::GEPArg index) {
  return LLVM::GEPOp::create(b, base.getType(), b.getI64Type(), base,
                             ArrayRef<LLVM::GEPArg>{index});
}

/// Inserts @moe.record(trace, stage, iteration, begin), which adds an event to
/// a `moe_trace` of module_abi.h unless it is null.
static func::FuncOp makeRecorder(ModuleOp module) {
  ImplicitLocOpBuilder b(module.getLoc(), module.getContext());
  b.setInsertionPointToEnd(module.getBody());
  Type pointer = LLVM::LLVMPointerType::get(b.getContext());
  Type i64 = b.getI64Type();
  auto function = func::FuncOp::create(
      b, "moe.record", b.getFunctionType({pointer, i64, i64, i64}, {}));
  function.setPrivate();
  Block *entry = function.addEntryBlock();
  b.setInsertionPointToStart(entry);
  Value end = readCounter(b), trace = entry->getArgument(0);
  Value null = LLVM::ZeroOp::create(b, pointer);
  Value isOn = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::ne, trace, null);
  scf::IfOp::create(b, isOn, [&](OpBuilder &nested, Location loc) {
    ImplicitLocOpBuilder b(loc, nested);
    Value count = LLVM::LoadOp::create(b, i64, memberOf(b, trace, 0));
    Value mask = LLVM::LoadOp::create(b, i64, memberOf(b, trace, 1));
    Value events = LLVM::LoadOp::create(b, pointer, memberOf(b, trace, 2));
    Value members[] = {entry->getArgument(1), entry->getArgument(2),
                       entry->getArgument(3), end};
    Value index = arith::AndIOp::create(b, count, mask);
    Value offset = arith::MulIOp::create(
        b, index, constant(b, static_cast<int64_t>(std::size(members))));
    Value event = memberOf(b, events, offset);
    for (auto [i, member] : llvm::enumerate(members))
      LLVM::StoreOp::create(b, member,
                            memberOf(b, event, static_cast<int32_t>(i)));
    LLVM::StoreOp::create(b, arith::AddIOp::create(b, count, constant(b, 1)),
                          memberOf(b, trace, 0));
    scf::YieldOp::create(b);
  });
  func::ReturnOp::create(b);
  return function;
}

namespace {

struct LowerTracePass final : moe::impl::LowerTracePassBase<LowerTracePass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto entries = llvm::to_vector(
        llvm::make_filter_range(module.getOps<func::FuncOp>(),
                                [](func::FuncOp f) { return f.isPublic(); }));
    recorder = makeRecorder(module);
    for (func::FuncOp entry : entries) {
      ImplicitLocOpBuilder b(entry.getLoc(), entry.getContext());
      b.setInsertionPointToStart(&entry.getBody().front());
      trace = loadCallField(b, entry.getArgument(0), CallField::Trace);
      recordStages(entry.getBody(), constant(b, -1));
    }
    SmallVector<Attribute> names;
    for (auto [name, index] : stages)
      names.push_back(name);
    numStages += names.size();
    module->setAttr(kStagesAttr, ArrayAttr::get(&getContext(), names));
  }

  /// Brackets the outermost stages in `region`, which runs within `iteration`
  /// of a loop.
  void recordStages(Region &region, Value iteration) {
    for (Block &block : region)
      for (Operation &op : llvm::make_early_inc_range(block)) {
        if (StringAttr name = stageName(&op)) {
          record(&op, name, iteration);
          continue;
        }
        Value inner = iteration;
        if (auto loop = dyn_cast<scf::ForOp>(op)) {
          auto b =
              ImplicitLocOpBuilder::atBlockBegin(op.getLoc(), loop.getBody());
          inner = arith::IndexCastOp::create(b, b.getI64Type(),
                                             loop.getInductionVar());
        }
        for (Region &nested : op.getRegions())
          recordStages(nested, inner);
      }
  }

  void record(Operation *op, StringAttr name, Value iteration) {
    auto [it, isNew] = stages.insert({name, stages.size()});
    ImplicitLocOpBuilder b(op->getLoc(), op);
    Value begin = readCounter(b);
    b.setInsertionPointAfter(op);
    func::CallOp::create(
        b, recorder,
        ValueRange{trace, constant(b, it->second), iteration, begin});
  }

  func::FuncOp recorder;
  Value trace;
  llvm::MapVector<StringAttr, int64_t> stages;
};

} // namespace

//===- LowerCall.cpp - Entries read parameters through their call ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/IR/MoE.h"
#include "moe/Lower/Passes.h"
#include "moe/Support/CallStruct.h"
#include "moe/Support/Scalars.h"

#include "llvm/ADT/DenseMap.h"

#define DEBUG_TYPE "moe-lower-call"

using namespace mlir;
using namespace mlir::moe;

namespace mlir::moe {
#define GEN_PASS_DEF_LOWERCALLPASS
#include "moe/Lower/Passes.h.inc"
} // namespace mlir::moe

/// load_parameter @p[%i, ...] -> view of the table's entry, `i` matrices in.
static void lowerLoad(LoadParameterOp load, int64_t index, Value call) {
  OpBuilder builder(load);
  ImplicitLocOpBuilder b(load.getLoc(), builder);
  auto type = cast<MemRefType>(load.getResult().getType());
  Type pointer = LLVM::LLVMPointerType::get(b.getContext());
  Value table = loadCallField(b, call, CallField::Parameters);
  Value slot = LLVM::GEPOp::create(b, pointer, pointer, table,
                                   ArrayRef<LLVM::GEPArg>{index});
  auto base = LLVM::LoadOp::create(b, pointer, slot);
  base.setInvariant(true);
  auto parameter = SymbolTable::lookupNearestSymbolFrom<ParameterOp>(
      load, load.getParameterAttr());
  ArrayRef<int64_t> shape = parameter.getTensorType().getShape();
  Value offset = constantIndex(b, 0);
  for (auto [dim, i] : llvm::enumerate(load.getIndices())) {
    Value scaled =
        arith::MulIOp::create(b, offset, constantIndex(b, shape[dim]));
    offset = arith::AddIOp::create(b, scaled, i);
  }
  offset =
      arith::MulIOp::create(b, offset, constantIndex(b, type.getNumElements()));
  Value elements = arith::IndexCastOp::create(b, b.getI64Type(), offset);
  Value at = LLVM::GEPOp::create(b, pointer, type.getElementType(), base,
                                 ArrayRef<LLVM::GEPArg>{elements});
  load.replaceAllUsesWith(memrefAt(b, type, at));
  load.erase();
}

namespace {

struct LowerCallPass : mlir::moe::impl::LowerCallPassBase<LowerCallPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    Type pointer = LLVM::LLVMPointerType::get(&getContext());
    SmallVector<LoadParameterOp> loads;
    module.walk([&](LoadParameterOp load) { loads.push_back(load); });
    llvm::SmallDenseSet<StringAttr> loaded;
    for (LoadParameterOp load : loads) {
      auto func = load->getParentOfType<func::FuncOp>();
      if (!func || !func.isPublic()) {
        load.emitError("expected parameters to be loaded in entries only");
        return signalPassFailure();
      }
      loaded.insert(load.getParameterAttr().getAttr());
    }

    SmallVector<Attribute> table;
    llvm::DenseMap<StringAttr, int64_t> index;
    for (auto parameter : module.getOps<ParameterOp>()) {
      if (!loaded.contains(parameter.getSymNameAttr()))
        continue;
      index[parameter.getSymNameAttr()] = table.size();
      table.push_back(FlatSymbolRefAttr::get(parameter.getSymNameAttr()));
    }
    module->setAttr(kParametersAttr, ArrayAttr::get(&getContext(), table));

    for (auto func : module.getOps<func::FuncOp>())
      if (func.isPublic() &&
          failed(func.insertArgument(0, pointer, {}, func.getLoc())))
        return signalPassFailure();
    module.walk([](NumThreadsOp op) {
      OpBuilder builder(op);
      ImplicitLocOpBuilder b(op.getLoc(), builder);
      Value call = op->getParentOfType<func::FuncOp>().getArgument(0);
      Value threads = loadCallField(b, call, CallField::Threads);
      op.replaceAllUsesWith(
          arith::IndexCastOp::create(b, b.getIndexType(), threads).getResult());
      op.erase();
    });
    for (LoadParameterOp load : loads)
      lowerLoad(load, index[load.getParameterAttr().getAttr()],
                load->getParentOfType<func::FuncOp>().getArgument(0));
  }
};

} // namespace

//===- CpuCloneLevels.cpp - Clone the entries once per ISA level ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Levels.h"

#include "moe/CPU/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPUCLONELEVELSPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-clone-levels"

using namespace mlir;
using namespace mlir::moe;

/// Inserts `F.<isa>` before `function`.
static void cloneFor(const Level &level, func::FuncOp function) {
  OpBuilder b(function);
  auto clone = cast<func::FuncOp>(b.clone(*function));
  clone.setName((function.getName() + "." + level.isa).str());
  setLevel(clone, level);
}

static DictionaryAttr describe(const Level &level, Builder &b) {
  return b.getDictionaryAttr(
      {b.getNamedAttr("isa", b.getStringAttr(level.isa)),
       b.getNamedAttr("features", b.getStrArrayAttr(level.features))});
}

namespace {

struct CpuCloneLevelsPass final
    : moe::impl::CpuCloneLevelsPassBase<CpuCloneLevelsPass> {
  using CpuCloneLevelsPassBase::CpuCloneLevelsPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    Builder b(&getContext());
    SmallVector<const Level *> chosen;
    SmallVector<Attribute> descriptions;
    for (StringRef isa : levels) {
      const Level *level = findLevel(isa, module);
      if (!level)
        return signalPassFailure();
      if (!chosen.empty() && chosen[0]->triple != level->triple) {
        module.emitError("expected levels of one architecture, got ")
            << chosen[0]->isa << " and " << level->isa;
        return signalPassFailure();
      }
      chosen.push_back(level);
      descriptions.push_back(describe(*level, b));
    }
    WalkResult inlined = module.walk([](func::CallOp call) {
      call.emitOpError("expected calls to be inlined before functions are "
                       "cloned per level");
      return WalkResult::interrupt();
    });
    if (inlined.wasInterrupted())
      return signalPassFailure();

    for (auto function :
         llvm::make_early_inc_range(module.getOps<func::FuncOp>())) {
      if (function.isDeclaration())
        continue;
      for (const Level *level : chosen) {
        cloneFor(*level, function);
        ++numClones;
      }
      function.erase();
    }
    module->setAttr(kLevelsAttr, b.getArrayAttr(descriptions));
    if (!chosen.empty())
      module->setAttr(LLVM::LLVMDialect::getTargetTripleAttrName(),
                      b.getStringAttr(chosen[0]->triple));
  }
};

} // namespace

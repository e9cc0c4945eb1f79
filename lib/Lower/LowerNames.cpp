//===- LowerNames.cpp - Locations say what is computed --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/IR/Describe.h"
#include "moe/Lower/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

#define DEBUG_TYPE "moe-lower-names"

using namespace mlir;
using namespace mlir::moe;

namespace mlir::moe {
#define GEN_PASS_DEF_LOWERNAMESPASS
#include "moe/Lower/Passes.h.inc"
} // namespace mlir::moe

namespace {

struct LowerNamesPass final : moe::impl::LowerNamesPassBase<LowerNamesPass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    function.walk([&](Operation *op) {
      bool computes = isa_and_nonnull<MoEDialect, linalg::LinalgDialect>(
                          op->getDialect()) &&
                      !isa<LoadParameterOp>(op) &&
                      !op->hasTrait<OpTrait::IsTerminator>();
      if (!computes || op->getLoc()->findInstanceOf<NameLoc>())
        return;
      auto name = StringAttr::get(&getContext(),
                                  function.getSymName() + ": " + describe(op));
      op->setLoc(NameLoc::get(name, op->getLoc()));
    });
  }
};

} // namespace

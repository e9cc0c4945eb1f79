//===- Routed.cpp - What decides which experts are chosen -----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Routed.h"

#include "moe/IR/MoE.h"

#include "mlir/Analysis/SliceAnalysis.h"

using namespace mlir;
using namespace mlir::moe;

bool mlir::moe::isRouted(Value value) {
  auto isRouting = llvm::IsaPred<ScoreOp, SelectOp, RouteOp>;
  ForwardSliceOptions options;
  options.filter = [&](Operation *user) {
    return !isa_and_nonnull<MoEDialect>(user->getDialect()) || isRouting(user);
  };
  SetVector<Operation *> users;
  getForwardSlice(value, &users, options);
  return llvm::any_of(users, isRouting);
}

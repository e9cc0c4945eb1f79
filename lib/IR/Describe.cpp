//===- Describe.cpp - What an op is, for people ---------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/IR/Describe.h"

using namespace mlir;
using namespace mlir::moe;

std::string mlir::moe::describe(Operation *op) {
  std::string text = op->getName().stripDialect().str();
  llvm::raw_string_ostream os(text);
  for (Value operand : op->getOperands())
    if (auto load = operand.getDefiningOp<LoadParameterOp>())
      os << " " << load.getParameterAttr();
  return text;
}

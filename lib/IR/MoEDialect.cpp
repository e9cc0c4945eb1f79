//===- MoEDialect.cpp - The moe dialect -----------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/IR/MoE.h"

using namespace mlir;
using namespace mlir::moe;

#include "moe/IR/MoEDialect.cpp.inc"

#include "moe/IR/MoEEnums.cpp.inc"

void MoEDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "moe/IR/MoEOps.cpp.inc"
      >();
}

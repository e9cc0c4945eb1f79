//===- MoEDialect.cpp - The moe dialect -----------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/IR/MoE.h"

#include "mlir/Transforms/InliningUtils.h"

using namespace mlir;
using namespace mlir::moe;

#include "moe/IR/MoEDialect.cpp.inc"

#include "moe/IR/MoEEnums.cpp.inc"

namespace {
/// Any op may be inlined anywhere.
struct MoEInlinerInterface : DialectInlinerInterface {
  using DialectInlinerInterface::DialectInlinerInterface;
  bool isLegalToInline(Operation *, Region *, bool, IRMapping &) const final {
    return true;
  }
};
} // namespace

void MoEDialect::initialize() {
  addInterfaces<MoEInlinerInterface>();
  registerAttributes();
  addOperations<
#define GET_OP_LIST
#include "moe/IR/MoEOps.cpp.inc"
      >();
}

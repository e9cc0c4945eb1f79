//===- InitAll.h - Everything that a tool of ours registers -----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_INITALL_H
#define MOE_INITALL_H

#include "moe/CPU/Passes.h"
#include "moe/Fuse/Passes.h"
#include "moe/IR/MoE.h"
#include "moe/Lower/Passes.h"
#include "moe/Pipelines/Pipelines.h"
#include "moe/Verify/Passes.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"

namespace mlir::moe {

/// Registers the moe dialect beside every upstream one.
inline void registerAllDialects(DialectRegistry &registry) {
  ::mlir::registerAllDialects(registry);
  ::mlir::registerAllExtensions(registry);
  registry.insert<MoEDialect>();
  registerBufferizableOpInterfaceExternalModels(registry);
}

/// Registers every pass and pipeline of ours.
inline void registerAllPasses() {
  registerCPUPasses();
  registerFusePasses();
  registerLowerPasses();
  registerPipelines();
  registerVerifyPasses();
}

} // namespace mlir::moe

#endif // MOE_INITALL_H

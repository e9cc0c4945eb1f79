//===- moe-opt.cpp - Runs passes on MLIR with the moe dialect -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/CPU/Passes.h"
#include "moe/Fuse/Passes.h"
#include "moe/IR/MoE.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  registry.insert<mlir::moe::MoEDialect>();
  mlir::moe::registerBufferizableOpInterfaceExternalModels(registry);
  mlir::registerAllPasses();
  mlir::moe::registerCPUPasses();
  mlir::moe::registerFusePasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(
      argc, argv, "Mixture-of-Experts optimizer driver\n", registry));
}

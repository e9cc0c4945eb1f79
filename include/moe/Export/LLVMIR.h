//===- LLVMIR.h - From the target form to an object file --------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_EXPORT_LLVMIR_H
#define MOE_EXPORT_LLVMIR_H

#include "moe/Export/ModuleInterface.h"

#include "llvm/IR/Module.h"
#include "llvm/Target/TargetMachine.h"

namespace mlir::moe {

/// Registers all that translateToLLVMIR needs to see in a context.
void registerTranslations(DialectRegistry &registry);

/// LLVM IR with the tables of module_abi.h, which alone are visible.
struct TranslatedModule {
  std::unique_ptr<llvm::Module> llvmModule;
  /// What the module is compiled for.
  std::unique_ptr<llvm::TargetMachine> machine;
  /// The hash of the code, which the tables contain.
  std::string buildId;
};

/// Translates a module in the target form and optimizes it. Emits an error when
/// it is in no state to be translated.
FailureOr<TranslatedModule> translateToLLVMIR(ModuleOp module,
                                              const ModuleInterface &interface,
                                              llvm::LLVMContext &context);

/// Generates an object file; it consumes the LLVM module.
std::string emitObject(TranslatedModule module);

} // namespace mlir::moe

#endif // MOE_EXPORT_LLVMIR_H

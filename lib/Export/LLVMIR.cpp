//===- LLVMIR.cpp - From the target form to an object file ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The target machine is the oldest of its architecture: what a function may use
// beyond it says the function itself, in its attributes. Products and sums are
// never contracted unless the IR says so, because the bits of a result are part
// of what the compiler promises.
//
//===----------------------------------------------------------------------===//

#include "moe/Export/LLVMIR.h"
#include "EntryTables.h"

#include "Runtime/Hash.h"

#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/OpenMP/OpenMPToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Target/LLVMIR/LLVMTranslationInterface.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Translation
//===----------------------------------------------------------------------===//

namespace {
/// A parameter is data of the package: it has no code.
class MoETranslation final : public LLVMTranslationDialectInterface {
public:
  using LLVMTranslationDialectInterface::LLVMTranslationDialectInterface;

  LogicalResult
  convertOperation(Operation *op, llvm::IRBuilderBase &builder,
                   LLVM::ModuleTranslation &moduleTranslation) const override {
    return success(isa<ParameterOp>(op));
  }
};
} // namespace

void mlir::moe::registerTranslations(DialectRegistry &registry) {
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerOpenMPDialectTranslation(registry);
  registry.addExtension(+[](MLIRContext *context, MoEDialect *dialect) {
    dialect->addInterfaces<MoETranslation>();
  });
}

/// The machine of a triple, x86-64 or AArch64.
static llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createTargetMachine(const llvm::Triple &triple) {
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  LLVMInitializeAArch64TargetInfo();
  LLVMInitializeAArch64Target();
  LLVMInitializeAArch64TargetMC();
  LLVMInitializeAArch64AsmPrinter();
  std::string error;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return llvm::createStringError(error);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;
  options.FunctionSections = true;
  options.DataSections = true;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, triple.isX86() ? "x86-64" : "generic", /*Features=*/"", options,
      llvm::Reloc::PIC_, /*CM=*/std::nullopt,
      llvm::CodeGenOptLevel::Aggressive));
}

static void optimize(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager callGraph;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(callGraph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, callGraph, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3)
      .run(module, modules);
}

/// The hash of a module's bitcode.
static std::string hash(const llvm::Module &module) {
  std::string bitcode;
  llvm::raw_string_ostream os(bitcode);
  llvm::WriteBitcodeToFile(module, os);
  return ::moe::runtime::hashBytes(bitcode);
}

FailureOr<TranslatedModule>
mlir::moe::translateToLLVMIR(ModuleOp module, const ModuleInterface &interface,
                             llvm::LLVMContext &context) {
  auto machine = createTargetMachine(llvm::Triple(interface.triple));
  if (!machine)
    return emitError(module.getLoc(), llvm::toString(machine.takeError()));
  auto llvmModule = translateModuleToLLVMIR(module, context, "module");
  if (!llvmModule)
    return failure();
  llvmModule->setDataLayout((*machine)->createDataLayout());
  llvmModule->setPICLevel(llvm::PICLevel::BigPIC);
  std::string buildId = hash(*llvmModule);
  if (llvm::Error error = addEntryTables(*llvmModule, interface, buildId))
    return emitError(module.getLoc(), llvm::toString(std::move(error)));
  optimize(*llvmModule, **machine);
  return TranslatedModule{std::move(llvmModule), std::move(*machine),
                          std::move(buildId)};
}

//===----------------------------------------------------------------------===//
// Code generation
//===----------------------------------------------------------------------===//

std::string mlir::moe::emitObject(TranslatedModule module) {
  SmallVector<char, 0> object;
  llvm::raw_svector_ostream os(object);
  llvm::legacy::PassManager passes;
  module.machine->addPassesToEmitFile(passes, os, /*DwoOut=*/nullptr,
                                      llvm::CodeGenFileType::ObjectFile);
  passes.run(*module.llvmModule);
  return std::string(object.begin(), object.end());
}

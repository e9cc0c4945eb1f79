//===- EntryTables.cpp - The tables that a module exports -----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The structures here mirror those of module_abi.h member by member.
//
//===----------------------------------------------------------------------===//

#include "EntryTables.h"
#include "moe-runtime/module_abi.h"

#include "llvm/ADT/Sequence.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/Transforms/IPO/Internalize.h"

using namespace mlir;
using namespace mlir::moe;

/// Makes a struct of these members.
static llvm::Constant *makeStruct(ArrayRef<llvm::Constant *> members) {
  return llvm::ConstantStruct::getAnon(members);
}

static llvm::Constant *makeInt64(llvm::Module &module, int64_t value) {
  return llvm::ConstantInt::getSigned(
      llvm::Type::getInt64Ty(module.getContext()), value);
}

static llvm::Constant *makeString(llvm::Module &module, StringRef text) {
  return llvm::IRBuilder<>(module.getContext())
      .CreateGlobalString(text, "moe.string", /*AddressSpace=*/0, &module);
}

/// Makes a constant array of structs of one type.
static llvm::Constant *makeArray(llvm::Module &module,
                                 ArrayRef<llvm::Constant *> structs) {
  if (structs.empty())
    return llvm::ConstantPointerNull::get(
        llvm::PointerType::getUnqual(module.getContext()));
  auto *type = llvm::ArrayType::get(structs.front()->getType(), structs.size());
  return new llvm::GlobalVariable(
      module, type, /*isConstant=*/true, llvm::GlobalValue::PrivateLinkage,
      llvm::ConstantArray::get(type, structs), "moe.table");
}

/// Wraps `_mlir_ciface_<name>(call, descriptor...)` in a function that takes
/// the descriptors as an array: `<name>.entry(call, descriptors)`.
static llvm::Expected<llvm::Constant *> wrap(llvm::Module &module,
                                             const llvm::Twine &name,
                                             llvm::Type *resultType,
                                             size_t numDescriptors) {
  auto *ptr = llvm::PointerType::getUnqual(module.getContext());
  SmallVector<llvm::Type *> types(1 + numDescriptors, ptr);
  auto *type = llvm::FunctionType::get(resultType, types, /*isVarArg=*/false);
  std::string calleeName = ("_mlir_ciface_" + name).str();
  llvm::Function *callee = module.getFunction(calleeName);
  if (!callee || callee->isDeclaration() || callee->getFunctionType() != type)
    return llvm::createStringError(
        "expected a function '" + calleeName + "' that takes a call and " +
        llvm::Twine(numDescriptors) + " descriptors");

  auto *wrapper = llvm::Function::Create(
      llvm::FunctionType::get(resultType, {ptr, ptr}, /*isVarArg=*/false),
      llvm::GlobalValue::InternalLinkage, name + ".entry", module);
  llvm::IRBuilder<> builder(
      llvm::BasicBlock::Create(module.getContext(), "", wrapper));
  SmallVector<llvm::Value *> arguments = {wrapper->getArg(0)};
  for (size_t i : llvm::seq(numDescriptors))
    arguments.push_back(builder.CreateLoad(
        ptr, builder.CreateConstGEP1_64(ptr, wrapper->getArg(1), i)));
  llvm::Value *result = builder.CreateCall(callee, arguments);
  if (resultType->isVoidTy())
    builder.CreateRetVoid();
  else
    builder.CreateRet(result);
  return wrapper;
}

/// moe_entry
static llvm::Expected<llvm::Constant *>
makeEntry(llvm::Module &module, const Function &function, const Level &level) {
  std::string name = (function.name + "." + level.isa).str();
  llvm::LLVMContext &context = module.getContext();
  auto invoke = wrap(module, name, llvm::Type::getVoidTy(context),
                     function.arguments.size());
  if (!invoke)
    return invoke.takeError();
  auto workspace =
      wrap(module, name + ".workspace", llvm::Type::getInt64Ty(context),
           function.arguments.size());
  if (!workspace)
    return workspace.takeError();
  return makeStruct({makeString(module, function.name), *invoke, *workspace});
}

/// moe_level
static llvm::Expected<llvm::Constant *>
makeLevel(llvm::Module &module, const Level &level,
          ArrayRef<Function> functions) {
  SmallVector<llvm::Constant *> entries;
  for (const Function &function : functions) {
    auto entry = makeEntry(module, function, level);
    if (!entry)
      return entry.takeError();
    entries.push_back(*entry);
  }
  return makeStruct({makeString(module, level.isa),
                     makeString(module, llvm::join(level.features, ",")),
                     makeInt64(module, entries.size()),
                     makeArray(module, entries)});
}

llvm::Error mlir::moe::addEntryTables(llvm::Module &module,
                                      const ModuleInterface &interface,
                                      StringRef buildId) {
  SmallVector<llvm::Constant *> levels;
  for (const Level &level : interface.levels) {
    auto made = makeLevel(module, level, interface.functions);
    if (!made)
      return made.takeError();
    levels.push_back(*made);
  }
  // moe_module
  llvm::Constant *info = makeStruct(
      {makeInt64(module, MOE_MODULE_ABI),
       makeString(module, "moe-mlir " MOE_VERSION), makeString(module, buildId),
       makeInt64(module, levels.size()), makeArray(module, levels)});
  auto *exported = new llvm::GlobalVariable(
      module, info->getType(), /*isConstant=*/true,
      llvm::GlobalValue::ExternalLinkage, info, "moe_module_info");
  llvm::internalizeModule(module, [&](const llvm::GlobalValue &value) {
    return &value == exported;
  });
  return llvm::Error::success();
}

//===- ModuleInterface.cpp - What a module offers its callers -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/Export/ModuleInterface.h"
#include "moe/Params/ParameterProgram.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace mlir::moe;

/// Reads a string of a dictionary.
static LogicalResult readString(DictionaryAttr dict, StringRef key,
                                StringRef &result) {
  auto attr = dict.getAs<StringAttr>(key);
  if (!attr)
    return failure();
  result = attr.getValue();
  return success();
}

/// Reads each element of an array with `readElement(attr, result)`.
template <typename AttrTy, typename T, typename Fn>
static LogicalResult readArray(Attribute attr, SmallVector<T> &result,
                               Fn readElement) {
  auto array = dyn_cast_or_null<ArrayAttr>(attr);
  if (!array)
    return failure();
  for (Attribute element : array) {
    auto typed = dyn_cast<AttrTy>(element);
    if (!typed || failed(readElement(typed, result.emplace_back())))
      return failure();
  }
  return success();
}

static LogicalResult readStrings(Attribute attr,
                                 SmallVector<StringRef> &result) {
  return readArray<StringAttr>(attr, result,
                               [](StringAttr string, StringRef &text) {
                                 text = string.getValue();
                                 return success();
                               });
}

static LogicalResult readArgument(DictionaryAttr dict, Argument &argument) {
  argument.shape = dict.getAs<ArrayAttr>("shape");
  return success(
      argument.shape &&
      llvm::all_of(argument.shape, llvm::IsaPred<IntegerAttr, StringAttr>) &&
      succeeded(readString(dict, "name", argument.name)) &&
      succeeded(readString(dict, "kind", argument.kind)) &&
      succeeded(readString(dict, "dtype", argument.dtype)));
}

static LogicalResult readFunction(DictionaryAttr dict, Function &function) {
  if (failed(readString(dict, "name", function.name)))
    return failure();
  return readArray<DictionaryAttr>(dict.get("arguments"), function.arguments,
                                   readArgument);
}

static LogicalResult readLevel(DictionaryAttr dict, Level &level) {
  if (failed(readString(dict, "isa", level.isa)))
    return failure();
  return readStrings(dict.get("features"), level.features);
}

FailureOr<ModuleInterface> ModuleInterface::get(ModuleOp module) {
  ModuleInterface interface;
  auto expected = [&](StringRef name, StringRef what) {
    return emitError(module.getLoc(), "expected attribute '")
           << name << "' to list " << what << ", got " << module->getAttr(name);
  };
  if (failed(readArray<DictionaryAttr>(module->getAttr(kFunctionsAttr),
                                       interface.functions, readFunction)))
    return expected(kFunctionsAttr, "functions with their arguments");
  if (failed(readArray<DictionaryAttr>(module->getAttr(kLevelsAttr),
                                       interface.levels, readLevel)))
    return expected(kLevelsAttr, "ISA levels with their features");
  StringRef tripleName = LLVM::LLVMDialect::getTargetTripleAttrName();
  auto triple = module->getAttrOfType<StringAttr>(tripleName);
  if (!triple)
    return emitError(module.getLoc(), "expected attribute '")
           << tripleName << "' to name a target, got "
           << module->getAttr(tripleName);
  interface.triple = triple.getValue();
  Attribute stages = module->getAttr(kStagesAttr);
  if (stages && failed(readStrings(stages, interface.stages)))
    return expected(kStagesAttr, "names of stages");
  FailureOr<SmallVector<ParameterOp>> parameters = getParameterTable(module);
  if (failed(parameters))
    return failure();
  interface.parameters = std::move(*parameters);
  if (auto compute = module->getAttrOfType<StringAttr>(kComputeAttr))
    interface.compute = compute.getValue();
  interface.model = module->getAttrOfType<DictionaryAttr>(kModelAttr);
  return interface;
}

std::string mlir::moe::printExtent(Attribute extent) {
  if (auto name = dyn_cast<StringAttr>(extent))
    return name.str();
  return std::to_string(cast<IntegerAttr>(extent).getInt());
}

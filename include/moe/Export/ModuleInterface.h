//===- ModuleInterface.h - What a module offers its callers -----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_EXPORT_MODULEINTERFACE_H
#define MOE_EXPORT_MODULEINTERFACE_H

#include "moe/IR/MoE.h"

#include "mlir/IR/BuiltinOps.h"

namespace mlir::moe {

struct Argument {
  llvm::StringRef name;
  llvm::StringRef kind; ///< input, state or output
  llvm::StringRef dtype;
  ArrayAttr shape; ///< integers and names
};

struct Function {
  llvm::StringRef name;
  SmallVector<Argument> arguments; ///< in the order of the ABI
};

/// An instruction set that all functions are compiled for.
struct Level {
  llvm::StringRef isa;
  SmallVector<llvm::StringRef> features; ///< by LLVM's names
};

/// The attributes of a module in the target form. It lives as long as the
/// module.
struct ModuleInterface {
  SmallVector<Function> functions;
  SmallVector<Level> levels;           ///< ascending
  llvm::StringRef triple;              ///< that all levels are of
  SmallVector<ParameterOp> parameters; ///< in the order of the ABI
  SmallVector<llvm::StringRef> stages; ///< that calls record
  llvm::StringRef compute = "f32";     ///< what products round their rows to
  DictionaryAttr model;                ///< null for a plain program

  /// Reads the attributes; emits an error when one is missing or malformed.
  static FailureOr<ModuleInterface> get(ModuleOp module);
};

/// An extent as users read it: `160` or `N`.
std::string printExtent(Attribute extent);

} // namespace mlir::moe

#endif // MOE_EXPORT_MODULEINTERFACE_H

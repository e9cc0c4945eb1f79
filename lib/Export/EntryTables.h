//===- EntryTables.h - The tables that a module exports ---------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_EXPORT_ENTRYTABLES_H
#define MOE_LIB_EXPORT_ENTRYTABLES_H

#include "moe/Export/ModuleInterface.h"

#include "llvm/IR/Module.h"
#include "llvm/Support/Error.h"

namespace mlir::moe {

/// Adds the constant `moe_module_info` of module_abi.h with what it refers to,
/// and makes it the only visible symbol.
///
/// For each function F and level L the module defines
///
///   void _mlir_ciface_F.L(ptr call, ptr descriptor...)
///   i64 _mlir_ciface_F.L.workspace(ptr call, ptr descriptor...)
llvm::Error addEntryTables(llvm::Module &module,
                           const ModuleInterface &interface,
                           llvm::StringRef buildId);

} // namespace mlir::moe

#endif // MOE_LIB_EXPORT_ENTRYTABLES_H

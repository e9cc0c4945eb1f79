//===- Header.h - The C header of a module ----------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_EXPORT_HEADER_H
#define MOE_EXPORT_HEADER_H

#include "moe/Export/ModuleInterface.h"

namespace mlir::moe {

/// The C header that names a module's functions and documents their arguments,
/// to be used with moe-runtime/moe.h.
std::string makeHeader(const ModuleInterface &interface);

} // namespace mlir::moe

#endif // MOE_EXPORT_HEADER_H

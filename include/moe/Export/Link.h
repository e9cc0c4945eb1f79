//===- Link.h - Links an object file to a shared library --------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_EXPORT_LINK_H
#define MOE_EXPORT_LINK_H

#include "mlir/Support/LLVM.h"
#include "llvm/Support/Error.h"

namespace mlir::moe {

/// The OpenMP runtime of this installation, `libomp.so.5`. A library that uses
/// it looks for it in its own folder.
llvm::StringRef getOpenMPLibrary();

/// Links an object file to the shared library `path` with ld.lld. The library
/// needs nothing but libc, libm and libomp, and of them only what it uses; any
/// other undefined symbol is an error that names it.
llvm::Error linkSharedLibrary(llvm::StringRef object, llvm::StringRef path);

} // namespace mlir::moe

#endif // MOE_EXPORT_LINK_H

//===- Machine.h - What this machine can do ---------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_COMPILE_MACHINE_H
#define MOE_COMPILE_MACHINE_H

#include "moe/CPU/Target.h"

namespace mlir::moe {

/// Asks for the sizes of the caches and measures how fast the CPUs that this
/// process may use read, in about a second. The rest is as by default.
Machine measureMachine();

/// Measures again, because others may have kept the machine busy before.
void remeasure(Machine &machine);

} // namespace mlir::moe

#endif // MOE_COMPILE_MACHINE_H

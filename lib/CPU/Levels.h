//===- Levels.h - ISA levels ------------------------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a level is to the loader, to LLVM and to the kernels.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_LEVELS_H
#define MOE_LIB_CPU_LEVELS_H

#include "mlir/IR/Operation.h"

namespace mlir::moe {

struct Level {
  /// The name in `moe.isa` and `moe.levels`.
  StringRef isa;
  /// `llvm.target_triple` of a module that is compiled for it.
  StringRef triple;
  /// `target_cpu`.
  StringRef cpu;
  /// What the loader checks, and `target_features`.
  ArrayRef<StringRef> features;
  /// Lanes of f32 in a vector register.
  int64_t lanes;
  /// Vector registers.
  int64_t registers;
  /// Whether it has dot products of bytes.
  bool hasDots = false;
  /// Whether products use the tiles of AMX, and whether vectors stand in for
  /// its registers, so that the same schedule runs where there are none.
  bool hasTiles = false, emulatesTiles = false;
  /// Whether a multiplication takes one lane of a register as a factor for all.
  bool hasLaneFactors = false;
  /// Whether calls run on several threads, which OpenMP starts.
  bool hasThreads = true;
};

/// The level called `isa`; null if there is none.
const Level *lookUpLevel(StringRef isa);

/// The same, with a diagnostic on `op`.
const Level *findLevel(StringRef isa, Operation *op);

/// Says, to LLVM too, that `function` is compiled for `level`.
void setLevel(Operation *function, const Level &level);

/// The level that `op` is compiled for, as `moe.isa` of its function says; null
/// with a diagnostic if there is none.
const Level *getLevel(Operation *op);

} // namespace mlir::moe

#endif // MOE_LIB_CPU_LEVELS_H

//===- TargetModel.h - How long work takes at least -------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An analytic model of a server with x86-64 CPUs. Units per cycle are those of
// Intel's Sapphire Rapids (Intel 64 and IA-32 Architectures Optimization
// Reference Manual); the clock, the bandwidth and the shares that good code
// reaches were measured on one, with kernels that run alone and with random
// data, because tiles of zeros are faster.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_TARGETMODEL_H
#define MOE_LIB_CPU_TARGETMODEL_H

#include "RowLayout.h"

namespace mlir::moe {

/// k of a block: what tiles read again and again stays in L1, which is the
/// block of a panel with AMX and otherwise the rows of a tile.
int64_t getBlockK(const RowLayout &layout);

/// k that are decoded at a time: they stay in L1 with what else does.
int64_t getDecodedK(const RowLayout &layout);

/// Rows of a chunk of packed rows of this many bytes, which are multiplied with
/// so many bytes of weights: they stay in L2 while panels pass, or are at least
/// so many that the panels are worth reading. Weights that stay in L2
/// themselves are worth it for a few tiles.
int64_t getChunkRows(int64_t rowBytes, int64_t weightBytes);

/// Work: f32 or integer operations, and bytes between memory and core.
struct Cost {
  double operations = 0, bytes = 0;
};

/// What `threads` cores do in a second, each on a core of its own.
class TargetModel {
public:
  explicit TargetModel(int64_t threads) : threads(threads) {}

  /// Operations a second with kernels for rows of this layout, of plain
  /// vectors, and of one scalar loop.
  double getOperations(const Level &level, const RowLayout &layout) const;
  double getOperations(const Level &level) const;
  double getScalarOperations() const;

  /// Bytes a second.
  double getBandwidth() const;

private:
  int64_t threads;
};

} // namespace mlir::moe

#endif // MOE_LIB_CPU_TARGETMODEL_H

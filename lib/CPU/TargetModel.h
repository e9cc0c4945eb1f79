//===- TargetModel.h - How work is cut, and how long it takes ---*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An analytic model of cores with private caches before a shared memory. What
// was found by measuring a kernel (KernelChoices) wins over it.
//
// Blocks. A panel is multiplied with tiles of rows, block of k after block of
// k. What tiles read again and again stays in L1, of which it has a share that
// leaves room for what passes by (Goto and van de Geijn 2008,
// doi:10.1145/1356052.1356053): with AMX the block of the panel, because its
// loads from L2 take longer than its products; otherwise the rows of a tile,
// while the block of the panel has a share of L2.
//
//   k = 2/3 L1 / (bytes of a panel's k)                             AMX,
//   decoded k = min(1/2 L1 / (bytes of a tile's k), 1/16 L2 / (bytes of a
//   panel's k))
//
// Chunks. A chunk of rows is multiplied with all panels, so its packed rows
// stay in L2, unless they are so few that panels are read from memory in vain:
//
//   rows = max(3/4 L2 / (bytes of a row), ridge)
//
// Time. Up to one tile of rows the products hide behind the reading of the
// weights, or it behind them. From two tiles on time is nearer to the sum: what
// is prefetched comes through the same buffers as what L2 delivers (measured:
// issue "roofline", 28 GB/s and the rate of tiles on data in L2).
//
//   memory = bytes / bandwidth,  arithmetic = operations / rate
//   time = max(memory, arithmetic)   one tile
//   time = memory + arithmetic       more
//
// Units per cycle are those of the Intel 64 and IA-32 Architectures
// Optimization Reference Manual for Sapphire Rapids; the shares of them that
// loops reach were measured on one, with random data, because tiles of zeros
// are faster.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_TARGETMODEL_H
#define MOE_LIB_CPU_TARGETMODEL_H

#include "RowLayout.h"

#include "moe/CPU/Target.h"

namespace mlir::moe {

/// How a product is cut into items of work.
struct Blocking {
  /// Rows of a chunk, at most.
  int64_t chunkRows;
  /// As in KernelChoices.
  int64_t itemsPerThread, chunksPerThread;
};

/// Work: f32 or integer operations, and bytes between memory and core.
struct Cost {
  double operations = 0, bytes = 0;
};

class TargetModel {
public:
  explicit TargetModel(const Target &target) : target(target) {}

  /// k of a block, decoded or not.
  int64_t getBlockK(const RowLayout &layout) const;

  /// How a product of rows of `k` elements with so many bytes of weights is
  /// cut.
  Blocking getBlocking(const RowLayout &layout, int64_t k,
                       int64_t weightBytes) const;

  /// Operations a second of one core with kernels for rows of this layout, of
  /// plain vectors, and of one scalar loop.
  double getOperations(const RowLayout &layout) const;
  double getOperations(const Level &level) const;
  double getScalarOperations() const;

  /// Bytes a second that so many threads read, each on a core of its own.
  double getBandwidth(int64_t threads) const;

private:
  /// What was found by measuring the kernel.
  KernelChoices getMeasured(const RowLayout &layout) const;

  const Target &target;
};

} // namespace mlir::moe

#endif // MOE_LIB_CPU_TARGETMODEL_H

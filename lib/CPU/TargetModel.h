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
//   AMX, decoded:  k = 2/3 L1 / (panel's bytes for a k)
//   otherwise:     k = min(1/2 L1 / (tile's bytes for a k),
//                          1/16 L2 / (panel's bytes for a k))
//
// Chunks. A chunk of rows is multiplied with all panels, so its packed rows
// stay in L2, unless they are so few that panels are read from memory in vain:
//
//   rows = max(3/4 L2 / (row's bytes), ridge)
//
// Ranges. Where that is more than L2 holds, a thread takes range after range of
// k for a group of panels, whose sums stay in L2 meanwhile: it reads the packed
// rows once for each group instead of once for each panel.
//
// Prefetch. Weights are read 64 KiB ahead: that is some microseconds, many
// times the latency of memory, and leaves L2 to the rows (measured: a whole
// panel ahead is 3 to 17 % slower for f32, the more the longer the panel).
//
// Time. While the first tile of rows is multiplied with a panel, the panel
// comes from memory: one hides behind the other. What comes after competes with
// it: prefetched lines take the same buffers as those that L2 delivers. So from
// some tiles on, time is nearly the sum, as was measured:
//
//   memory = bytes / bandwidth, arithmetic = operations / rate,
//   n = max(1, rows / (rows of a tile) + 1/2)   tiles of a group, on average
//   time = max(memory, arithmetic) + (1 - 1/n) min(memory, arithmetic)
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
  /// Bytes of the cache in which a thread's rows and sums stay.
  int64_t cacheBytes;
};

/// Seconds of arithmetic and of memory, how they add up for groups of `tiles`
/// tiles of rows.
double addSeconds(double arithmetic, double memory, double tiles);

/// Tiles of a group of so many rows, on average.
double getTiles(const RowLayout &layout, double rows);

class TargetModel {
public:
  explicit TargetModel(const Target &target) : target(target) {}

  /// k of a block, decoded or not.
  int64_t getBlockK(const RowLayout &layout) const;

  /// k that a panel is prefetched ahead.
  int64_t getAheadK(const RowLayout &layout) const;

  /// How a product of rows of `k` elements with so many bytes of weights is
  /// cut.
  Blocking getBlocking(const RowLayout &layout, int64_t k,
                       int64_t weightBytes) const;

  /// Operations a second of one core with kernels for rows of this layout, of
  /// plain vectors, and of one scalar loop.
  double getOperations(const RowLayout &layout) const;
  double getOperations(const Level &level) const;
  double getScalarOperations() const;

  /// Bytes a second that so many threads read, each on a core of its own; and
  /// of weights that kernels for rows of this layout take.
  double getBandwidth(int64_t threads) const;
  double getBandwidth(int64_t threads, const RowLayout &layout) const;

private:
  /// What was found by measuring the kernel.
  KernelChoices getMeasured(const RowLayout &layout) const;

  const Target &target;
};

} // namespace mlir::moe

#endif // MOE_LIB_CPU_TARGETMODEL_H

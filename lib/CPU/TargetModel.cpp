//===- TargetModel.cpp - How work is cut, and how long it takes -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TargetModel.h"

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// How work is cut
//===----------------------------------------------------------------------===//

/// Rows that are multiplied in the time in which a panel is read from memory.
static constexpr int64_t kRidgeRows = 256;

/// Rows of a few whole tiles on every level.
static constexpr int64_t kFewRows = 96;

/// Items of a thread, and chunks from which on they are items.
static constexpr int64_t kItemsPerThread = 32, kChunksPerThread = 12;

std::string mlir::moe::getKernelName(StringRef isa, PackFormat format,
                                     Compute compute) {
  return (isa + " " + stringifyEnum(format) + "*" + stringifyEnum(compute))
      .str();
}

KernelChoices TargetModel::getMeasured(const RowLayout &layout) const {
  auto known = target.kernels.find(getKernelName(
      layout.getLevel().isa, layout.getFormat(), layout.getCompute()));
  return known == target.kernels.end() ? KernelChoices() : known->second;
}

int64_t TargetModel::getBlockK(const RowLayout &layout) const {
  if (int64_t measured = getMeasured(layout).blockK)
    return measured;
  auto [l1, l2] =
      std::pair<double, double>(target.machine.l1, target.machine.l2);
  double panelBytes = layout.getPanelBytesPer64() / 64.0;
  double rowBytes = layout.getRowBytes(64) / 64.0;
  double k;
  if (layout.isAmx())
    k = l1 * 2 / 3 / (layout.isDecoded() ? 2 * kPanelColumns : panelBytes);
  else if (layout.isDecoded())
    k = l1 / 3 / (4 * kPanelColumns);
  else
    k = std::min(l1 / 2 / (layout.getTileRows() * rowBytes),
                 l2 / 16 / panelBytes);
  return std::max<int64_t>(static_cast<int64_t>(k) / 64 * 64, 64);
}

Blocking TargetModel::getBlocking(const RowLayout &layout, int64_t k,
                                  int64_t weightBytes) const {
  KernelChoices measured = getMeasured(layout);
  Blocking blocking = {kFewRows, kItemsPerThread, kChunksPerThread};
  // Weights that stay in L2 themselves are worth reading for a few tiles.
  if (weightBytes > target.machine.l2 / 2) {
    auto rowsIn = [&](int64_t bytes) {
      return bytes / layout.getRowBytes(k) / 32 * 32;
    };
    blocking.chunkRows =
        measured.chunkBytes
            ? std::max<int64_t>(rowsIn(measured.chunkBytes), 32)
            : std::max(rowsIn(target.machine.l2 * 3 / 4), kRidgeRows);
  }
  if (measured.itemsPerThread)
    blocking.itemsPerThread = measured.itemsPerThread;
  if (measured.chunksPerThread)
    blocking.chunksPerThread = measured.chunksPerThread;
  return blocking;
}

KernelChoices mlir::moe::getModelChoices(const Machine &machine, StringRef isa,
                                         PackFormat format, Compute compute,
                                         int64_t k, int64_t weightBytes) {
  Target target = {machine, {}};
  TargetModel model(target);
  RowLayout layout(*lookUpLevel(isa), format, compute);
  Blocking blocking = model.getBlocking(layout, k, weightBytes);
  return {model.getBlockK(layout), blocking.chunkRows * layout.getRowBytes(k),
          blocking.itemsPerThread, blocking.chunksPerThread,
          static_cast<int64_t>(model.getOperations(layout))};
}

//===----------------------------------------------------------------------===//
// How long it takes
//===----------------------------------------------------------------------===//

/// Shares that loops over weights in memory reach, and loops on data in L2: of
/// fused multiply-adds, of dot products of bytes with a scale for each group,
/// and of tiles.
static constexpr double kBandwidthShare = 0.9, kFmaShare = 0.8, kDotShare = 0.6,
                        kTilesShare = 0.6;

/// Operations a second of two units, each a multiplication and an addition a
/// lane and cycle.
static double fmaPeak(const Machine &machine, const Level &level) {
  return static_cast<double>(machine.clock) * 2 * 2 * level.lanes;
}

double TargetModel::getOperations(const Level &level) const {
  return kFmaShare * fmaPeak(target.machine, level);
}

double TargetModel::getOperations(const RowLayout &layout) const {
  if (int64_t measured = getMeasured(layout).operations)
    return measured;
  const Level &level = layout.getLevel();
  // Four bytes a lane; without an instruction for that, in three.
  if (layout.isDot())
    return kDotShare * fmaPeak(target.machine, level) * (level.hasDots ? 4 : 2);
  if (!layout.isAmx())
    return getOperations(level);
  // 16 x 16 outputs in 16 cycles, each of 64 bytes of k.
  double elements = layout.getCompute() == Compute::Int8 ? 64 : 32;
  return kTilesShare * target.machine.clock * 16 * 2 * elements;
}

double TargetModel::getScalarOperations() const {
  // Each multiplication and addition waits for the one before: 4 cycles.
  return target.machine.clock * 2.0 / 4;
}

double TargetModel::getBandwidth(int64_t threads) const {
  return kBandwidthShare *
         std::min<double>(threads * target.machine.coreBandwidth,
                          target.machine.bandwidth);
}

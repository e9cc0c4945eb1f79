//===- TargetModel.cpp - How long work takes at least ---------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TargetModel.h"

using namespace mlir;
using namespace mlir::moe;

/// Bytes of the caches of a core.
static constexpr int64_t kL1 = 48 << 10, kL2 = 2 << 20;

/// Rows that are multiplied in the time in which a panel is read from memory.
static constexpr int64_t kRidgeRows = 256;

/// Rows of a few whole tiles on every level.
static constexpr int64_t kFewRows = 96;

int64_t mlir::moe::getBlockK(const RowLayout &layout) {
  double panelBytes = layout.getPanelBytesPer64() / 64.0;
  double rowBytes = layout.getRowBytes(64) / 64.0;
  double k = layout.isAmx()
                 ? kL1 * 2 / 3 / panelBytes
                 : std::min(kL1 / 2 / (layout.getTileRows() * rowBytes),
                            kL2 / 16 / panelBytes);
  return static_cast<int64_t>(k) / 64 * 64;
}

int64_t mlir::moe::getDecodedK(const RowLayout &layout) {
  return layout.isAmx() ? kL1 * 2 / 3 / (2 * kPanelColumns)
                        : kL1 / 3 / (4 * kPanelColumns);
}

int64_t mlir::moe::getChunkRows(int64_t rowBytes, int64_t weightBytes) {
  if (weightBytes <= kL2 / 2)
    return kFewRows;
  return std::max<int64_t>(kL2 * 3 / 4 / rowBytes / 32 * 32, kRidgeRows);
}

/// Cycles a second with all cores busy.
static constexpr double kClock = 3.3e9;

/// Bytes a second that one core reads, with several streams, and all of a
/// socket with eight channels of DDR5-4800 do.
static constexpr double kCoreBandwidth = 16e9, kSocketBandwidth = 250e9;

/// Shares that loops over weights in memory reach, and loops on data in L2: of
/// fused multiply-adds, of dot products of bytes with a scale for each group,
/// and of tiles.
static constexpr double kBandwidthShare = 0.9, kFmaShare = 0.8, kDotShare = 0.6,
                        kTilesShare = 0.6;

/// Operations a second of two units, each a multiplication and an addition a
/// lane and cycle.
static double fmaPeak(const Level &level) {
  return kClock * 2 * 2 * level.lanes;
}

double TargetModel::getOperations(const Level &level) const {
  return kFmaShare * threads * fmaPeak(level);
}

double TargetModel::getOperations(const Level &level,
                                  const RowLayout &layout) const {
  // Four bytes a lane; without an instruction for that, in three.
  if (layout.isDot())
    return kDotShare * threads * fmaPeak(level) * (level.hasDots ? 4 : 2);
  if (!layout.isAmx())
    return getOperations(level);
  // 16 x 16 outputs in 16 cycles, each of 64 bytes of k.
  double elements = layout.getCompute() == Compute::Int8 ? 64 : 32;
  return kTilesShare * threads * kClock * 16 * 2 * elements;
}

double TargetModel::getScalarOperations() const {
  // Each multiplication and addition waits for the one before: 4 cycles.
  return kClock * 2 / 4;
}

double TargetModel::getBandwidth() const {
  return kBandwidthShare * std::min(threads * kCoreBandwidth, kSocketBandwidth);
}

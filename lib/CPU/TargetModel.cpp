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

/// Bytes that weights are prefetched ahead.
static constexpr int64_t kAheadBytes = 64 << 10;

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
  auto [l1, l2] =
      std::pair<double, double>(target.machine.l1, target.machine.l2);
  if (int64_t measured = getMeasured(layout).blockK) {
    // What is decoded lies on the stack.
    int64_t most = l2 / 4 / (4 * kPanelColumns);
    return layout.isDecoded()
               ? std::clamp<int64_t>(most / 64 * 64, 64, measured)
               : measured;
  }
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

int64_t TargetModel::getAheadK(const RowLayout &layout) const {
  return std::max<int64_t>(kAheadBytes / layout.getPanelBytesPer64() * 64, 64);
}

Blocking TargetModel::getBlocking(const RowLayout &layout, int64_t k,
                                  int64_t weightBytes) const {
  KernelChoices measured = getMeasured(layout);
  Blocking blocking = {kFewRows, kItemsPerThread, kChunksPerThread,
                       target.machine.l2};
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

/// Shares that loops over weights in memory reach, and whole layers with data
/// in L2: of fused multiply-adds, of dot products of bytes with a scale for
/// each group, and of tiles, whose results take as long to be rounded,
/// activated and stored as those of slower units.
static constexpr double kBandwidthShare = 0.9, kFmaShare = 0.75,
                        kDotShare = 0.5, kTilesShare = 0.45,
                        kByteTilesShare = 0.25;

/// Bytes of two codes each that a core takes apart in a cycle, for each lane of
/// f32; with few rows to multiply them with, that is what takes longest.
static constexpr double kNibbleBytes = 0.2;

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
  // 16 x 16 outputs in 16 cycles, each of 16 words of k.
  double words = target.machine.clock * 16.0 * 16 * 2;
  return layout.getCompute() == Compute::Int8 ? kByteTilesShare * 4 * words
                                              : kTilesShare * 2 * words;
}

double TargetModel::getScalarOperations() const {
  // Each multiplication and addition waits for the one before: 4 cycles.
  return target.machine.clock * 2.0 / 4;
}

double TargetModel::getBandwidth(int64_t threads) const {
  const Machine &machine = target.machine;
  return kBandwidthShare *
         std::min<double>(threads * machine.coreBandwidth, machine.bandwidth);
}

double TargetModel::getBandwidth(int64_t threads,
                                 const RowLayout &layout) const {
  double bandwidth = getBandwidth(threads);
  if (layout.getFormat() != PackFormat::Q4_0 &&
      layout.getFormat() != PackFormat::Mxfp4)
    return bandwidth;
  return std::min(bandwidth, threads * kNibbleBytes * layout.getLevel().lanes *
                                 target.machine.clock);
}

double mlir::moe::getTiles(const RowLayout &layout, double rows) {
  return std::max(rows / layout.getTileRows() + 0.5, 1.0);
}

double mlir::moe::addSeconds(double arithmetic, double memory, double tiles) {
  auto [less, more] = std::minmax(arithmetic, memory);
  return more + (1 - 1 / tiles) * less;
}

int64_t mlir::moe::solveOperations(const Machine &machine, StringRef isa,
                                   PackFormat format, Compute compute,
                                   const Cost &cost, int64_t threads,
                                   double seconds) {
  Target target = {machine, {}};
  RowLayout layout(*lookUpLevel(isa), format, compute);
  double tiles = getTiles(layout, cost.rows);
  double memory =
      cost.bytes / TargetModel(target).getBandwidth(threads, layout);
  // The inverse of addSeconds, if arithmetic takes more; and if not.
  double arithmetic = seconds - (1 - 1 / tiles) * memory;
  if (arithmetic < memory)
    arithmetic = (seconds - memory) / (1 - 1 / tiles);
  if (arithmetic < memory / 2)
    return 0;
  return static_cast<int64_t>(cost.operations / arithmetic / threads);
}

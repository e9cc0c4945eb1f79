//===- TileKernels.cpp - Tiles of rows times a panel, in registers --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TileKernels.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Prefetching
//===----------------------------------------------------------------------===//

SmallVector<Value> PrefetchState::initial(KernelBuilder &b,
                                          const Prefetch &prefetch) {
  return {b.constant(1), prefetch.begin};
}

SmallVector<Value> PrefetchState::step(KernelBuilder &b,
                                       const Prefetch &prefetch,
                                       ValueRange state) {
  constexpr int64_t kPage = 4096, kWindow = Prefetch::kLines * kPage;
  constexpr int64_t kBursts = kPage / 64;
  Value windows = b.div(prefetch.bytes, kWindow);
  Value rest = b.rem(prefetch.bytes, kWindow);
  Value restStride =
      b.mul(b.div(b.add(rest, Prefetch::kBytes - 1), Prefetch::kBytes), 64);
  Value wait = b.sub(state[0], b.constant(1)), begin = state[1];
  auto due = scf::IfOp::create(
      b, b.equal(wait, 0),
      [&](OpBuilder &nested, Location loc) {
        KernelBuilder b(loc, nested);
        Value end = b.min(b.add(begin, prefetch.perStep), prefetch.end);
        b.loop(begin, end, b.constant(1), [&](KernelBuilder &b, Value burst) {
          Value window = b.div(burst, kBursts), line = b.rem(burst, kBursts);
          Value at = b.at(prefetch.stream,
                          b.add(b.mul(window, kWindow), b.mul(line, 64)));
          auto prefetchLines = [&](auto distance) {
            return [&, distance](OpBuilder &nested, Location loc) {
              KernelBuilder b(loc, nested);
              for (int64_t i = 0; i < Prefetch::kLines; ++i)
                LLVM::Prefetch::create(b, b.at(at, distance(b, i)), /*rw=*/0,
                                       /*hint=*/2, /*cache=*/1);
              scf::YieldOp::create(b);
            };
          };
          // Constant distances are part of the instruction.
          scf::IfOp::create(b, b.less(window, windows),
                            prefetchLines([](KernelBuilder &, int64_t i) {
                              return i * kPage;
                            }),
                            prefetchLines([&](KernelBuilder &b, int64_t i) {
                              return b.mul(restStride, i);
                            }));
        });
        scf::YieldOp::create(b, ValueRange{prefetch.period, end});
      },
      [&](OpBuilder &nested, Location loc) {
        scf::YieldOp::create(nested, loc, ValueRange{wait, begin});
      });
  return due.getResults();
}

//===----------------------------------------------------------------------===//
// Sums
//===----------------------------------------------------------------------===//

ValueRange mlir::moe::loadSums(KernelBuilder &b, VectorType type,
                               const TileArguments &arguments, int64_t count,
                               function_ref<int64_t(int64_t i)> at) {
  unsigned alignment = type.getNumElements() * 4;
  auto start = scf::IfOp::create(
      b, arguments.fresh,
      [&](OpBuilder &nested, Location loc) {
        Value zero =
            arith::ConstantOp::create(nested, loc, nested.getZeroAttr(type));
        scf::YieldOp::create(nested, loc, SmallVector<Value>(count, zero));
      },
      [&](OpBuilder &nested, Location loc) {
        KernelBuilder b(loc, nested);
        SmallVector<Value> sums;
        for (int64_t i = 0; i < count; ++i)
          sums.push_back(b.load(type, arguments.acc, at(i), alignment));
        scf::YieldOp::create(b, sums);
      });
  return start.getResults();
}

//===----------------------------------------------------------------------===//
// Fused multiply-adds
//===----------------------------------------------------------------------===//

namespace {

/// Emits the loop for the column registers `begin..end`.
class FmaLoop {
public:
  FmaLoop(const Level &level, PackFormat format, int64_t rows, int64_t begin,
          int64_t end)
      : level(level), lanes(level.lanes), format(format), rows(rows),
        begin(begin), end(end) {}

  void emit(KernelBuilder &b, const TileArguments &arguments);

private:
  VectorType f32s(Builder &b) {
    return VectorType::get({lanes}, b.getF32Type());
  }
  int64_t columns() const { return end - begin; }
  /// Where accumulator `i` is, in bytes.
  int64_t accumulatorAt(int64_t i) {
    int64_t row = i / columns(), column = begin + i % columns();
    return (row * kPanelColumns + column * lanes) * 4;
  }
  Value panelAt(KernelBuilder &b, Value panel, Value k);
  SmallVector<SmallVector<Value>> weights(KernelBuilder &b, Value panel,
                                          int64_t k, int64_t count);
  Value loadElement(KernelBuilder &b, Value rowsAt, int64_t i, int64_t count,
                    Value &neighbors);
  SmallVector<Value> multiply(KernelBuilder &b, Value rowsAt, Value panel,
                              int64_t count, ValueRange sums);

  const Level &level;
  int64_t lanes;
  PackFormat format;
  int64_t rows, begin, end;
};

} // namespace

/// The weights of `k`, a multiple of kStep.
Value FmaLoop::panelAt(KernelBuilder &b, Value panel, Value k) {
  if (format == PackFormat::F32)
    return b.at(panel, b.mul(k, kPanelColumns * 4));
  // [k / 32][2][k / 2 % 16][16][2]
  return b.at(panel, b.add(b.mul(b.div(k, 32), 2048), b.mul(b.rem(k, 32), 32)));
}

/// The registers of weights of `k` and, of a pair, of `k + 1`.
SmallVector<SmallVector<Value>> FmaLoop::weights(KernelBuilder &b, Value panel,
                                                 int64_t k, int64_t count) {
  SmallVector<SmallVector<Value>> result(count);
  for (int64_t c = begin; c < end; ++c) {
    if (format == PackFormat::F32) {
      for (int64_t i = 0; i < count; ++i)
        result[i].push_back(b.load(f32s(b), panel,
                                   (k + i) * kPanelColumns * 4 + c * lanes * 4,
                                   lanes * 4));
      continue;
    }
    // A pair of neighbours in each 32 bits: the first is the lower half.
    auto i32s = VectorType::get({lanes}, b.getI32Type());
    auto splat = [&](int32_t value) {
      return arith::ConstantOp::create(b, DenseElementsAttr::get(i32s, value));
    };
    int64_t column = c * lanes;
    Value both =
        b.load(i32s, panel, column / 16 * 1024 + k / 2 * 64 + column % 16 * 4,
               lanes * 4);
    Value first = arith::ShLIOp::create(b, both, splat(16));
    Value second = arith::AndIOp::create(b, both, splat(0xffff0000));
    result[0].push_back(vector::BitCastOp::create(b, f32s(b), first));
    result[1].push_back(vector::BitCastOp::create(b, f32s(b), second));
  }
  return result;
}

/// Element `i` of `count` of packed rows. Where multiplications take a lane as
/// a factor, it is one of a register of `neighbors`.
Value FmaLoop::loadElement(KernelBuilder &b, Value rowsAt, int64_t i,
                           int64_t count, Value &neighbors) {
  int64_t lane = i % lanes, first = i - lane;
  if (!level.hasLaneFactors || first + lanes > count)
    return b.load(b.getF32Type(), rowsAt, i * 4, 4);
  if (lane == 0)
    neighbors = b.load(f32s(b), rowsAt, i * 4, 4);
  return vector::ExtractOp::create(b, neighbors, lane);
}

/// Adds the products of `count` k.
SmallVector<Value> FmaLoop::multiply(KernelBuilder &b, Value rowsAt,
                                     Value panel, int64_t count,
                                     ValueRange sums) {
  SmallVector<Value> next(sums);
  Value neighbors;
  int64_t pair = format == PackFormat::F32 ? 1 : 2;
  for (int64_t k = 0; k < count; k += pair)
    for (auto [i, registers] : llvm::enumerate(weights(b, panel, k, pair)))
      for (int64_t row = 0; row < rows; ++row) {
        Value element = loadElement(b, rowsAt, (k + i) * rows + row,
                                    count * rows, neighbors);
        Value broadcast = vector::BroadcastOp::create(b, f32s(b), element);
        for (auto [c, weight] : llvm::enumerate(registers)) {
          Value &sum = next[row * columns() + c];
          sum = vector::FMAOp::create(b, broadcast, weight, sum);
        }
      }
  return next;
}

void FmaLoop::emit(KernelBuilder &b, const TileArguments &arguments) {
  int64_t numSums = rows * columns();
  ValueRange start = loadSums(b, f32s(b), arguments, numSums,
                              [&](int64_t i) { return accumulatorAt(i); });

  auto steps = [&](Value from, Value to, int64_t length, bool hasPrefetch,
                   ValueRange carried) {
    return b.loop(from, to, b.constant(length), carried,
                  [&](KernelBuilder &b, Value k, ValueRange carried) {
                    SmallVector<Value> ahead;
                    if (hasPrefetch)
                      ahead = PrefetchState::step(b, arguments.prefetch,
                                                  carried.drop_front(numSums));
                    SmallVector<Value> next =
                        multiply(b, b.at(arguments.rows, b.mul(k, rows * 4)),
                                 panelAt(b, arguments.panel, k), length,
                                 carried.take_front(numSums));
                    next.append(ahead);
                    return next;
                  });
  };
  SmallVector<Value> carried(start);
  // The first walk over the panel prefetches for all.
  bool hasPrefetch = begin == 0;
  if (hasPrefetch)
    carried.append(PrefetchState::initial(b, arguments.prefetch));
  Value whole = arguments.count;
  if (format == PackFormat::F32)
    whole = b.mul(b.div(whole, kStep), kStep);
  ValueRange sums = steps(b.constant(0), whole, kStep, hasPrefetch, carried);
  sums = sums.take_front(numSums);
  if (format == PackFormat::F32)
    sums = steps(whole, arguments.count, 1, /*hasPrefetch=*/false, sums);
  for (auto [i, sum] : llvm::enumerate(sums))
    b.store(sum, arguments.acc, accumulatorAt(i), lanes * 4);
}

/// Accumulators of a loop: what is left of the registers without weights and a
/// broadcast.
static int64_t maxAccumulators(const Level &level) {
  return level.registers * 3 / 4;
}

int64_t mlir::moe::maxFmaRows(const Level &level) {
  // Two registers of columns at least, so that one broadcast serves two.
  return maxAccumulators(level) / 2;
}

/// Whether loops over so many rows and registers of columns need no stack.
static bool fits(const Level &level, int64_t rows, int64_t columns) {
  if (rows * columns > maxAccumulators(level))
    return false;
  // Elements of rows that come in registers need more of them than broadcasts.
  constexpr int64_t kElements = 6;
  return !level.hasLaneFactors ||
         (rows + 1) * columns <= level.registers - kElements;
}

void mlir::moe::emitFmaTile(KernelBuilder &b, const Level &level,
                            PackFormat format, int64_t rows,
                            const TileArguments &arguments) {
  int64_t registers = kPanelColumns / level.lanes;
  int64_t columns = registers;
  while (columns > 1 && !fits(level, rows, columns))
    columns /= 2;
  for (int64_t begin = 0; begin < registers; begin += columns)
    FmaLoop(level, format, rows, begin, begin + columns).emit(b, arguments);
}

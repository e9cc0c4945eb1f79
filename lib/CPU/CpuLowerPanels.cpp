//===- CpuLowerPanels.cpp - moe.panel_matmul calls functions of tiles -----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each level, format of weights and type of rows has one function, which cuts
// rows into tiles and k into blocks:
//
//   for block of k:            it stays in the cache while all tiles pass it
//     for tile of rows:        its rows stay in the registers' reach
//       acc[tile] += rows[tile, block] * panel[block]
//
// and one function for each number of rows that a tile may have.
//
//===----------------------------------------------------------------------===//

#include "AmxTiles.h"
#include "DotTiles.h"
#include "PanelDecoder.h"
#include "RowLayout.h"
#include "TargetModel.h"

#include "moe/CPU/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/UB/IR/UBOps.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPULOWERPANELSPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-lower-panels"

using namespace mlir;
using namespace mlir::moe;

namespace {

/// The functions that the ops of one module call.
class PanelFunctions {
public:
  PanelFunctions(ModuleOp module, const Target &target)
      : module(module), symbols(module), model(target) {}

  /// The function for what `op` multiplies.
  func::FuncOp get(PanelMatmulOp op, const Level &level);

  /// The number of functions made so far.
  int64_t getCount() const { return count; }

private:
  using Body = function_ref<void(KernelBuilder &b, ValueRange arguments)>;

  /// The private function of that name; `body` fills it if it is new.
  func::FuncOp get(const Level &level, const Twine &name,
                   function_ref<SmallVector<Type>(Builder &)> types, Body body);
  func::FuncOp getTile(const Level &level, const RowLayout &layout,
                       int64_t rows);
  void emitPanel(KernelBuilder &b, const Level &level, const RowLayout &layout,
                 ValueRange arguments);

  ModuleOp module;
  SymbolTable symbols;
  TargetModel model;
  int64_t count = 0;
};

} // namespace

func::FuncOp
PanelFunctions::get(const Level &level, const Twine &name,
                    function_ref<SmallVector<Type>(Builder &)> types,
                    Body body) {
  std::string full = ("moe." + name + "." + level.isa).str();
  if (auto known = symbols.lookup<func::FuncOp>(full))
    return known;
  Location loc = module.getLoc();
  Builder builder(module.getContext());
  auto function = func::FuncOp::create(
      loc, full, builder.getFunctionType(types(builder), {}));
  function.setPrivate();
  function->setAttr(
      "llvm.linkage",
      LLVM::LinkageAttr::get(module.getContext(), LLVM::Linkage::Internal));
  setLevel(function, level);
  symbols.insert(function);
  ++count;
  OpBuilder nested = OpBuilder::atBlockBegin(function.addEntryBlock());
  KernelBuilder b(loc, nested);
  body(b, function.getArguments());
  func::ReturnOp::create(b);
  return function;
}

static std::string nameOf(const RowLayout &layout) {
  return (stringifyEnum(layout.getFormat()) + "." +
          stringifyEnum(layout.getCompute()))
      .str();
}

/// rows, panel, count, acc, fresh, and the members of a Prefetch
func::FuncOp PanelFunctions::getTile(const Level &level,
                                     const RowLayout &layout, int64_t rows) {
  return get(
      level, "tile." + nameOf(layout) + "." + Twine(rows),
      [](Builder &b) -> SmallVector<Type> {
        Type pointer = LLVM::LLVMPointerType::get(b.getContext());
        Type i64 = b.getI64Type();
        return {pointer, pointer, i64, pointer, b.getI1Type(), pointer, i64,
                i64,     i64,     i64, i64};
      },
      [&](KernelBuilder &b, ValueRange a) {
        TileArguments arguments = {a[0], a[1],
                                   a[2], a[3],
                                   a[4], {a[5], a[6], a[7], a[8], a[9], a[10]}};
        PackFormat format = layout.getFormat();
        if (layout.isDot())
          emitDotTile(b, level, format, rows, arguments);
        else
          emitFmaTile(b, level, hasFmaTiles(format) ? format : PackFormat::F32,
                      rows, arguments);
      });
}

/// Calls `body` for what `number` is, from 1 to `most`.
static void switchNumber(KernelBuilder &b, Value number, int64_t most,
                         function_ref<void(KernelBuilder &, int64_t)> body) {
  SmallVector<int64_t> cases = llvm::to_vector(llvm::seq<int64_t>(1, most));
  Value index = arith::IndexCastOp::create(b, b.getIndexType(), number);
  auto choice =
      scf::IndexSwitchOp::create(b, TypeRange(), index, cases, cases.size());
  auto fill = [&](Region &region, int64_t number) {
    OpBuilder nested(b.getContext());
    nested.createBlock(&region);
    KernelBuilder inner(b.getLoc(), nested);
    body(inner, number);
    scf::YieldOp::create(inner);
  };
  for (auto [region, number] : llvm::zip_equal(choice.getCaseRegions(), cases))
    fill(region, number);
  fill(choice.getDefaultRegion(), most);
}

/// Arguments: rows, number of rows, their length, the range of k, panel, acc,
/// and what weights follow.
void PanelFunctions::emitPanel(KernelBuilder &b, const Level &level,
                               const RowLayout &layout, ValueRange a) {
  Value rows = a[0], lower = a[3], panel = a[5], acc = a[6], following = a[7];
  Value k = layout.padded(b, a[2]), upper = layout.padded(b, a[4]);
  Value one = b.constant(1);
  Tiles tiles = layout.getTiles(b, a[1]);
  auto bytesOf = [&](KernelBuilder &b, Value k) {
    return b.div(b.mul(k, layout.getPanelBytesPer64()), 64);
  };
  auto divUp = [&](KernelBuilder &b, Value x, Value y) {
    return b.div(b.add(x, b.sub(y, one)), y);
  };
  // Scales of columns, if there are any.
  PanelGeometry geometry = PanelGeometry::get(layout.getFormat());
  Value scales = b.at(panel, bytesOf(b, k));
  // What tiles multiply.
  PackFormat format = layout.getFormat();
  bool isDecoded = layout.isDecoded();
  if (isDecoded)
    format = layout.isAmx() ? PackFormat::BF16 : PackFormat::F32;
  int64_t mostK = model.getBlockK(layout);
  Value blockK = b.constant(mostK), decoded;
  if (isDecoded)
    decoded = LLVM::AllocaOp::create(
        b, b.pointerType(), b.getI8Type(),
        b.constant(mostK * kPanelColumns * layout.getDecodedBytes()),
        /*alignment=*/64);
  else
    blockK = b.select(
        b.less(one, tiles.count), blockK,
        b.min(b.sub(upper, lower), b.constant(model.getAheadK(layout))));

  // Each block prefetches one that comes later: in the range, or in what
  // follows, which is taken to be as long.
  Value range = b.at(panel, bytesOf(b, lower));
  Value rangeBytes =
      b.add(b.sub(bytesOf(b, upper), bytesOf(b, lower)), geometry.tailBytes);
  Value blocks = divUp(b, b.sub(upper, lower), blockK);
  Value away = b.min(
      blocks, b.max(b.div(b.constant(model.getAheadK(layout)), blockK), one));
  Value blockBytes = bytesOf(b, blockK);

  b.loop(lower, upper, blockK, [&](KernelBuilder &b, Value begin) {
    Value count = b.min(b.sub(upper, begin), blockK);
    Value panelAt = b.at(panel, bytesOf(b, begin));
    Value fresh = b.equal(begin, 0);

    Value number = b.add(b.div(b.sub(begin, lower), blockK), away);
    Value isHere = b.less(number, blocks);
    Value stream = b.select(isHere, range, following);
    number = b.select(isHere, number, b.sub(number, blocks));
    Value target = b.mul(number, blockBytes);
    Value hasNext = b.less(b.add(number, one), blocks);
    Value burstBytes = b.constant(Prefetch::kBytes);
    Value firstBurst = b.div(target, burstBytes);
    Value endBurst =
        divUp(b, b.select(hasNext, b.add(target, blockBytes), rangeBytes),
              burstBytes);
    auto prefetchIn = [&](KernelBuilder &b, Value part, Value parts,
                          Value steps) -> Prefetch {
      Value bursts = divUp(b, b.sub(endBurst, firstBurst), parts);
      Value first = b.add(firstBurst, b.mul(bursts, part));
      Value period = b.max(b.div(steps, b.max(bursts, one)), one);
      return {stream,
              rangeBytes,
              first,
              b.min(b.add(first, bursts), endBurst),
              divUp(b, bursts, steps),
              period};
    };
    if (isDecoded) {
      // Where it is decoded, because that takes longer than few rows.
      Prefetch prefetch =
          prefetchIn(b, b.constant(0), one, b.div(count, geometry.stepInputs));
      emitDecode(b, level, layout, panelAt, scales, count, decoded, prefetch);
      panelAt = decoded;
    }
    Value steps = divUp(b, count, b.constant(layout.getStep()));
    b.loop(b.constant(0), tiles.count, one, [&](KernelBuilder &b, Value i) {
      Value tileRows = tiles.rows(b, i), first = tiles.begin(b, i);
      Value rowsAt = layout.at(b, rows, k, first, tileRows, begin);
      Value accAt = b.at(acc, b.mul(first, kPanelColumns * 4));
      Prefetch prefetch = isDecoded
                              ? Prefetch{stream, rangeBytes, one, one, one, k}
                              : prefetchIn(b, i, tiles.count, steps);
      if (layout.isAmx()) {
        Value registers = b.div(layout.roundUpRows(b, tileRows), kAmxRows);
        switchNumber(b, registers, kAmxTileRows / kAmxRows,
                     [&](KernelBuilder &b, int64_t number) {
                       emitAmxTile(
                           b, level, format, number,
                           {rowsAt, panelAt, count, accAt, fresh, prefetch});
                     });
        return;
      }
      switchNumber(b, tileRows, layout.getTileRows(),
                   [&](KernelBuilder &b, int64_t number) {
                     func::CallOp::create(
                         b, getTile(level, layout, number),
                         ValueRange{rowsAt, panelAt, count, accAt, fresh,
                                    prefetch.stream, prefetch.bytes,
                                    prefetch.begin, prefetch.end,
                                    prefetch.perStep, prefetch.period});
                   });
    });
  });

  if (!layout.hasRowScales())
    return;
  // Scaled once their sums are complete.
  Value end = b.select(b.less(upper, k), b.constant(0), tiles.count);
  b.loop(b.constant(0), end, one, [&](KernelBuilder &b, Value i) {
    Value tileRows = tiles.rows(b, i), first = tiles.begin(b, i);
    Value rowScales = layout.at(b, rows, k, first, tileRows, k);
    Value corrections =
        b.at(rowScales, b.mul(layout.roundUpRows(b, tileRows), 4));
    b.loop(b.constant(0), tileRows, one, [&](KernelBuilder &b, Value row) {
      Value sums = b.at(acc, b.mul(b.add(first, row), kPanelColumns * 4));
      emitScale(b, level, sums, b.at(rowScales, b.mul(row, 4)),
                b.at(corrections, b.mul(row, 4)), scales);
    });
  });
}

func::FuncOp PanelFunctions::get(PanelMatmulOp op, const Level &level) {
  RowLayout layout(level, op.getFormat(), op.getCompute());
  return get(
      level, "panel." + nameOf(layout),
      [](Builder &b) -> SmallVector<Type> {
        Type pointer = LLVM::LLVMPointerType::get(b.getContext());
        Type i64 = b.getI64Type();
        return {pointer, i64, i64, i64, i64, pointer, pointer, pointer};
      },
      [&](KernelBuilder &b, ValueRange arguments) {
        emitPanel(b, level, layout, arguments);
      });
}

/// The address of element `at` of a buffer of one dimension.
static Value addressOf(KernelBuilder &b, Value buffer, Value at) {
  auto type = cast<MemRefType>(buffer.getType());
  Value begin = memref::ExtractAlignedPointerAsIndexOp::create(b, buffer);
  Value number = arith::IndexCastOp::create(b, b.getI64Type(), begin);
  Value address = LLVM::IntToPtrOp::create(b, b.pointerType(), number);
  Value element = arith::IndexCastOp::create(b, b.getI64Type(), at);
  return b.at(address, b.mul(element, type.getElementTypeBitWidth() / 8));
}

namespace {

struct CpuLowerPanelsPass final
    : moe::impl::CpuLowerPanelsPassBase<CpuLowerPanelsPass> {
  void runOnOperation() override {
    FailureOr<Target> target = Target::get(getOperation());
    if (failed(target))
      return signalPassFailure();
    PanelFunctions functions(getOperation(), *target);
    SmallVector<PanelMatmulOp> ops;
    getOperation().walk([&](PanelMatmulOp op) { ops.push_back(op); });
    for (PanelMatmulOp op : ops) {
      const Level *level = getLevel(op);
      if (!level)
        return signalPassFailure();
      OpBuilder builder(op);
      KernelBuilder b(op.getLoc(), builder);
      auto i64 = [&](Value index) -> Value {
        return arith::IndexCastOp::create(b, b.getI64Type(), index);
      };
      func::CallOp::create(
          b, functions.get(op, *level),
          ValueRange{addressOf(b, op.getRows(), op.getFirst()),
                     i64(op.getCount()), b.constant(op.getDepth()),
                     i64(op.getLower()), i64(op.getUpper()),
                     addressOf(b, op.getWeights(), op.getAt()),
                     addressOf(b, op.getSums(), op.getBegin()),
                     addressOf(b, op.getAhead(), op.getFrom())});
      op.erase();
    }
    numFunctions += functions.getCount();
  }
};

} // namespace

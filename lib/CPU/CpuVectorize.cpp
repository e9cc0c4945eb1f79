//===- CpuVectorize.cpp - Row-wise linalg to vector code ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What surrounds the products of a model (norms, rotations, sums, gathers of
// rows) are linalg ops whose innermost dimension is static and contiguous:
//
//   parallel loop over the outermost dimension
//     loops over the others
//       for each whole vector of the innermost dimension, and its masked rest:
//         the body, on vectors
//
// A value of the body is a scalar while it is the same for all lanes, and a
// vector from where it depends on the innermost dimension. A reduction over
// that dimension keeps one partial sum per lane and adds the lanes in a fixed
// tree, so its bits depend on the extent only.
//
//===----------------------------------------------------------------------===//

#include "Levels.h"
#include "Loops.h"
#include "moe/CPU/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPUVECTORIZEPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-vectorize"

using namespace mlir;
using namespace mlir::moe;

namespace {

/// Emits the loops of one op.
class RowwiseEmitter {
public:
  RowwiseEmitter(linalg::LinalgOp op, int64_t lanes)
      : op(op), lanes(lanes), innermost(op.getNumLoops() - 1) {}

  /// Why the op is not row-wise; empty if it is.
  StringRef decline();

  /// Emits the loops over all dimensions.
  void emit(ImplicitLocOpBuilder &b);

private:
  bool isReduction(unsigned dim) {
    return op.getIteratorTypesArray()[dim] == utils::IteratorType::reduction;
  }
  /// True if the operand moves with the innermost dimension.
  bool isVarying(OpOperand &operand) {
    return op.getMatchingIndexingMap(&operand).isFunctionOfDim(innermost);
  }
  /// True if a value of the body differs from lane to lane.
  bool isVarying(Value value);
  bool isSupported(Operation &nested);
  Value extentOf(ImplicitLocOpBuilder &b, unsigned dim);
  /// Emits the loops over the dimensions that `indices` lacks.
  void emitLoops(ImplicitLocOpBuilder &b, ValueRange indices);
  void emitRow(ImplicitLocOpBuilder &b, ValueRange indices);
  /// Emits the body for `width` elements from `indices.back()` on; `carried` is
  /// the partial sum of a reduction. Returns what the body yields.
  Value emitBody(ImplicitLocOpBuilder &b, ArrayRef<Value> indices,
                 int64_t width, Value carried);
  Value read(ImplicitLocOpBuilder &b, Value buffer, ArrayRef<Value> at,
             int64_t width);
  void write(ImplicitLocOpBuilder &b, Value value, ArrayRef<Value> at,
             int64_t width);
  SmallVector<Value> indicesOf(OpOperand &operand, ArrayRef<Value> indices);

  linalg::LinalgOp op;
  int64_t lanes;
  unsigned innermost;
};

} // namespace

//===----------------------------------------------------------------------===//
// Which ops
//===----------------------------------------------------------------------===//

/// True if rows of `type` are contiguous.
static bool hasUnitStride(Type type) {
  auto memref = dyn_cast<MemRefType>(type);
  return memref && memref.getRank() > 0 && memref.isLastDimUnitStride();
}

/// True if it is the place in a row that is gathered.
static bool isLastIndexOfLoad(OpOperand &use) {
  return isa<memref::LoadOp>(use.getOwner()) &&
         use.getOperandNumber() == use.getOwner()->getNumOperands() - 1;
}

bool RowwiseEmitter::isVarying(Value value) {
  if (auto arg = dyn_cast<BlockArgument>(value))
    return arg.getOwner() == op.getBlock() &&
           isVarying(op->getOpOperand(arg.getArgNumber()));
  Operation *definition = value.getDefiningOp();
  if (definition->getBlock() != op.getBlock())
    return false;
  if (auto index = dyn_cast<linalg::IndexOp>(definition))
    return index.getDim() == innermost;
  return llvm::any_of(definition->getOperands(),
                      [&](Value operand) { return isVarying(operand); });
}

bool RowwiseEmitter::isSupported(Operation &nested) {
  if (isa<linalg::YieldOp>(nested))
    return true;
  if (auto index = dyn_cast<linalg::IndexOp>(nested))
    return index.getDim() != innermost ||
           llvm::all_of(index->getUses(), isLastIndexOfLoad);
  if (auto load = dyn_cast<memref::LoadOp>(nested)) {
    // A gather of rows: only the last index is the innermost dimension, itself.
    auto last = load.getIndices().empty()
                    ? linalg::IndexOp()
                    : load.getIndices().back().getDefiningOp<linalg::IndexOp>();
    return last && last.getDim() == innermost &&
           llvm::none_of(load.getIndices().drop_back(),
                         [&](Value index) { return isVarying(index); }) &&
           hasUnitStride(load.getMemRefType());
  }
  return OpTrait::hasElementwiseMappableTraits(&nested) &&
         nested.getNumResults() == 1;
}

StringRef RowwiseEmitter::decline() {
  if (!op.hasPureBufferSemantics() || op.getNumLoops() == 0 ||
      op.getNumDpsInits() != 1)
    return "expected loops over buffers and one output";
  if (ShapedType::isDynamic(op.getStaticLoopRanges()[innermost]))
    return "expected a static innermost extent";
  for (unsigned dim = 0; dim < innermost; ++dim)
    if (isReduction(dim))
      return "expected no reduction but the innermost";
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    if (!map.isProjectedPermutation())
      return "expected operands indexed by dimensions";
    if (!isVarying(operand))
      continue;
    // A vector of i1 has eight elements in a byte, a buffer one.
    if (getElementTypeOrSelf(operand.get()).isInteger(1))
      return "expected elements of whole bytes";
    if (map.getResults().back() !=
            getAffineDimExpr(innermost, op.getContext()) ||
        !hasUnitStride(operand.get().getType()))
      return "expected operands contiguous in the innermost dimension";
  }
  for (Operation &nested : *op.getBlock())
    if (!isSupported(nested))
      return "expected elementwise ops and gathers of rows";
  if (isReduction(innermost)) {
    Operation *combiner =
        op.getBlock()->getTerminator()->getOperand(0).getDefiningOp();
    if (!isa_and_nonnull<arith::AddFOp>(combiner) ||
        !op.getRegionOutputArgs().front().hasOneUse())
      return "expected a sum";
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

Value RowwiseEmitter::extentOf(ImplicitLocOpBuilder &b, unsigned dim) {
  for (OpOperand &operand : op->getOpOperands())
    for (auto [position, result] :
         llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults()))
      if (result == getAffineDimExpr(dim, op.getContext()))
        return moe::dim(b, operand.get(), position);
  llvm_unreachable("every dimension is one of an operand");
}

void RowwiseEmitter::emit(ImplicitLocOpBuilder &b) {
  if (innermost == 0)
    return emitLoops(b, {});
  int64_t perRow = 1;
  for (int64_t extent : ArrayRef(op.getStaticLoopRanges()).drop_front())
    perRow *= ShapedType::isDynamic(extent) ? 1 : extent;
  auto row = [&](ImplicitLocOpBuilder &b, Value i) { emitLoops(b, i); };
  // Elementwise code waits for memory more than products do.
  forEachInParallel(b, extentOf(b, 0), 4 * perRow, row);
}

void RowwiseEmitter::emitLoops(ImplicitLocOpBuilder &b, ValueRange indices) {
  unsigned dim = indices.size();
  if (dim == innermost)
    return emitRow(b, indices);
  forEach(b, extentOf(b, dim), [&](ImplicitLocOpBuilder &b, Value i) {
    SmallVector<Value> nested(indices);
    nested.push_back(i);
    emitLoops(b, nested);
  });
}

/// Adds the lanes of a vector: halves, then quarters, ...
static Value sumLanes(ImplicitLocOpBuilder &b, Value vector) {
  int64_t width = cast<VectorType>(vector.getType()).getDimSize(0);
  while (width > 1) {
    width /= 2;
    auto half = [&](int64_t first) -> Value {
      return vector::ExtractStridedSliceOp::create(b, vector, first, width, 1);
    };
    vector = arith::AddFOp::create(b, half(0), half(width));
  }
  return vector::ExtractOp::create(b, vector, ArrayRef<int64_t>{0});
}

void RowwiseEmitter::emitRow(ImplicitLocOpBuilder &b, ValueRange indices) {
  int64_t extent = op.getStaticLoopRanges()[innermost];
  int64_t whole = extent - extent % lanes;
  auto at = [&](Value i) {
    SmallVector<Value> position(indices);
    position.push_back(i);
    return position;
  };
  OpOperand &out = *op.getDpsInitOperand(0);
  if (!isReduction(innermost)) {
    auto chunk = [&](ImplicitLocOpBuilder &b, Value i, int64_t width) {
      Value value = emitBody(b, at(i), width, {});
      write(b, value, indicesOf(out, at(i)), width);
    };
    if (whole > 0)
      forEach(b, constantIndex(b, 0), constantIndex(b, whole), lanes,
              [&](ImplicitLocOpBuilder &b, Value i) { chunk(b, i, lanes); });
    if (whole < extent)
      chunk(b, constantIndex(b, whole), extent - whole);
    return;
  }
  Value sum = arith::ConstantOp::create(
      b, b.getZeroAttr(VectorType::get({lanes}, b.getF32Type())));
  if (whole > 0)
    sum = forLoop(b, constantIndex(b, 0), constantIndex(b, whole), lanes, sum,
                  [&](ImplicitLocOpBuilder &b, Value i,
                      ValueRange carried) -> SmallVector<Value> {
                    return {emitBody(b, at(i), lanes, carried[0])};
                  })
              .getResult(0);
  if (whole < extent) {
    // Lanes past the end keep their sum.
    Value next = emitBody(b, at(constantIndex(b, whole)), extent - whole, sum);
    Value mask = vector::ConstantMaskOp::create(
        b, VectorType::get({lanes}, b.getI1Type()),
        ArrayRef<int64_t>{extent - whole});
    sum = arith::SelectOp::create(b, mask, next, sum);
  }
  SmallVector<Value> to = indicesOf(out, at(constantIndex(b, 0)));
  Value old = load(b, out.get(), to);
  store(b, arith::AddFOp::create(b, old, sumLanes(b, sum)), out.get(), to);
}

//===----------------------------------------------------------------------===//
// The body
//===----------------------------------------------------------------------===//

SmallVector<Value> RowwiseEmitter::indicesOf(OpOperand &operand,
                                             ArrayRef<Value> indices) {
  SmallVector<Value> result;
  for (AffineExpr expr : op.getMatchingIndexingMap(&operand).getResults())
    result.push_back(indices[cast<AffineDimExpr>(expr).getPosition()]);
  return result;
}

Value RowwiseEmitter::read(ImplicitLocOpBuilder &b, Value buffer,
                           ArrayRef<Value> at, int64_t width) {
  auto type = VectorType::get(
      {lanes}, cast<MemRefType>(buffer.getType()).getElementType());
  if (width == lanes)
    return vector::LoadOp::create(b, type, buffer, at);
  Value mask = vector::ConstantMaskOp::create(
      b, VectorType::get({lanes}, b.getI1Type()), ArrayRef<int64_t>{width});
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
  return vector::MaskedLoadOp::create(b, type, buffer, at, mask, zero);
}

void RowwiseEmitter::write(ImplicitLocOpBuilder &b, Value value,
                           ArrayRef<Value> at, int64_t width) {
  Value buffer = op.getDpsInitOperand(0)->get();
  if (!isa<VectorType>(value.getType()))
    value = vector::BroadcastOp::create(
        b, VectorType::get({lanes}, value.getType()), value);
  if (width == lanes) {
    vector::StoreOp::create(b, value, buffer, at);
    return;
  }
  Value mask = vector::ConstantMaskOp::create(
      b, VectorType::get({lanes}, b.getI1Type()), ArrayRef<int64_t>{width});
  vector::MaskedStoreOp::create(b, buffer, at, mask, value);
}

Value RowwiseEmitter::emitBody(ImplicitLocOpBuilder &b, ArrayRef<Value> indices,
                               int64_t width, Value carried) {
  IRMapping values;
  for (OpOperand &operand : op->getOpOperands()) {
    BlockArgument arg = op.getMatchingBlockArgument(&operand);
    if (arg.use_empty())
      continue;
    if (carried && op.isDpsInit(&operand)) {
      values.map(arg, carried);
      continue;
    }
    SmallVector<Value> at = indicesOf(operand, indices);
    if (!isa<MemRefType>(operand.get().getType()))
      values.map(arg, operand.get());
    else if (isVarying(operand))
      values.map(arg, read(b, operand.get(), at, width));
    else
      values.map(arg, load(b, operand.get(), at));
  }
  auto vectorOf = [&](Type element) {
    return VectorType::get({lanes}, element);
  };
  for (Operation &nested : op.getBlock()->without_terminator()) {
    Value result = nested.getResult(0);
    if (auto index = dyn_cast<linalg::IndexOp>(nested)) {
      // Only gathers use the innermost index, and they ignore the lanes.
      values.map(result, indices[index.getDim()]);
      continue;
    }
    if (auto gather = dyn_cast<memref::LoadOp>(nested)) {
      SmallVector<Value> at =
          llvm::map_to_vector(gather.getIndices(), [&](Value index) {
            return values.lookupOrDefault(index);
          });
      values.map(result, read(b, gather.getMemRef(), at, width));
      continue;
    }
    SmallVector<Value> operands =
        llvm::map_to_vector(nested.getOperands(),
                            [&](Value v) { return values.lookupOrDefault(v); });
    bool varying = llvm::any_of(
        operands, [](Value v) { return isa<VectorType>(v.getType()); });
    if (varying)
      for (Value &operand : operands)
        if (!isa<VectorType>(operand.getType()))
          operand = vector::BroadcastOp::create(b, vectorOf(operand.getType()),
                                                operand);
    Type type = varying ? vectorOf(result.getType()) : result.getType();
    Operation *clone =
        b.create(nested.getLoc(), nested.getName().getIdentifier(), operands,
                 type, nested.getAttrs());
    values.map(result, clone->getResult(0));
  }
  return values.lookupOrDefault(op.getBlock()->getTerminator()->getOperand(0));
}

//===----------------------------------------------------------------------===//
// Pass
//===----------------------------------------------------------------------===//

namespace {

/// linalg op on buffers -> loops around vector code
struct Vectorize : OpInterfaceRewritePattern<linalg::LinalgOp> {
  Vectorize(MLIRContext *context, int64_t lanes, Pass::Statistic &numVectorized,
            Pass::Statistic &numDeclined)
      : OpInterfaceRewritePattern(context), lanes(lanes),
        numVectorized(numVectorized), numDeclined(numDeclined) {}

  LogicalResult matchAndRewrite(linalg::LinalgOp op,
                                PatternRewriter &rewriter) const override {
    RowwiseEmitter emitter(op, lanes);
    StringRef reason = emitter.decline();
    if (!reason.empty()) {
      ++numDeclined;
      return rewriter.notifyMatchFailure(op, reason);
    }
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    emitter.emit(b);
    rewriter.eraseOp(op);
    ++numVectorized;
    return success();
  }

  int64_t lanes;
  Pass::Statistic &numVectorized, &numDeclined;
};

struct CpuVectorizePass final
    : moe::impl::CpuVectorizePassBase<CpuVectorizePass> {
  void runOnOperation() override {
    const Level *level = getLevel(getOperation());
    if (!level)
      return signalPassFailure();
    RewritePatternSet patterns(&getContext());
    patterns.add<Vectorize>(&getContext(), level->lanes, numVectorized,
                            numDeclined);
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace

//===- LowerWorkspace.cpp - Buffers of an entry in the caller's memory ----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// 1. Sizes are computed at the top of the entry, from extents of its arguments.
//    Where data decide, such as the number of rows of an expert, but a minimum
//    bounds them by extents, the buffer is as large as the bound allows and its
//    users see the front part of it.
// 2. A buffer lives from its allocation to the last use of an alias of it, as
//    seen from the block of the allocation; ops are numbered in pre-order.
// 3. A scan in order of birth puts each buffer into a slot that is free and has
//    the same dynamic extents, or into a new one. A slot is as large as its
//    largest buffer.
// 4. Slots lie one after the other, 64-byte aligned; `F.workspace` computes
//    where the last one ends.
//
//===----------------------------------------------------------------------===//

#include "moe/Lower/Passes.h"
#include "moe/Support/CallStruct.h"
#include "moe/Support/Scalars.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Bufferization/Transforms/BufferViewFlowAnalysis.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Dominance.h"
#include "mlir/Transforms/CSE.h"

#define DEBUG_TYPE "moe-lower-workspace"

using namespace mlir;
using namespace mlir::moe;

namespace mlir::moe {
#define GEN_PASS_DEF_LOWERWORKSPACEPASS
#include "moe/Lower/Passes.h.inc"
} // namespace mlir::moe

static constexpr int64_t kAlignment = 64;

namespace {

/// A buffer and the span of op numbers in which it is alive.
struct Buffer {
  memref::AllocOp alloc;
  int64_t birth, death;
};

/// Memory that buffers of disjoint lifetimes share: `bytes` times the product
/// of `extents`.
struct Slot {
  SmallVector<Value> extents;
  int64_t bytes;
  int64_t death;
};

} // namespace

/// True if the result of `op` does not decrease when an operand increases.
static bool isMonotone(Operation *op) {
  if (auto apply = dyn_cast<affine::AffineApplyOp>(op)) {
    bool isMonotone = true;
    apply.getAffineMap().walkExprs([&](AffineExpr expr) {
      auto constant = dyn_cast<AffineConstantExpr>(expr);
      isMonotone &= expr.getKind() != AffineExprKind::Mod &&
                    !(constant && constant.getValue() < 0);
    });
    return isMonotone;
  }
  if (auto div = dyn_cast<arith::DivUIOp>(op))
    return matchPattern(div.getRhs(), m_Constant());
  // A mask that rounds down to a power of two.
  APInt mask;
  if (isa<arith::AndIOp>(op) &&
      matchPattern(op->getOperand(1), m_ConstantInt(&mask)))
    return (-mask).isPowerOf2();
  return isa<arith::AddIOp, arith::MulIOp, arith::MinSIOp, arith::MaxSIOp,
             arith::MinUIOp, arith::MaxUIOp, arith::IndexCastOp>(op);
}

namespace {

/// Clones computations of sizes from entry arguments to an insertion point.
class SizeBuilder {
public:
  SizeBuilder(OpBuilder b, IRMapping mapping)
      : b(b), mapping(std::move(mapping)) {}

  /// What `value` is or, where data decide, a bound from above; null if there
  /// is neither.
  Value materialize(Value value);

  /// True if `materialize` gave a bound.
  bool isBound(Value value) const { return bounded.contains(value); }

private:
  Value materializeExtent(Value buffer, int64_t dim);
  Value clone(Operation *op, OpResult value);

  OpBuilder b;
  IRMapping mapping;
  llvm::DenseSet<Value> bounded;
};

} // namespace

/// The extent of dimension `dim` of `buffer`.
Value SizeBuilder::materializeExtent(Value buffer, int64_t dim) {
  Location loc = buffer.getLoc();
  auto type = cast<MemRefType>(buffer.getType());
  if (!type.isDynamicDim(dim))
    return arith::ConstantIndexOp::create(b, loc, type.getDimSize(dim));
  if (isa<BlockArgument>(buffer)) {
    Value arg = mapping.lookupOrNull(buffer);
    return arg ? b.createOrFold<memref::DimOp>(loc, arg, dim) : Value();
  }
  Operation *op = buffer.getDefiningOp();
  auto exactly = [&](Value size) {
    Value result = materialize(size);
    return isBound(size) ? Value() : result;
  };
  if (auto alloc = dyn_cast<memref::AllocOp>(op))
    return exactly(alloc.getDynamicSizes()[type.getDynamicDimIndex(dim)]);
  if (auto expand = dyn_cast<memref::ExpandShapeOp>(op))
    return exactly(cast<Value>(expand.getMixedOutputShape()[dim]));
  if (auto cast = dyn_cast<memref::CastOp>(op))
    return materializeExtent(cast.getSource(), dim);
  auto collapse = dyn_cast<memref::CollapseShapeOp>(op);
  if (!collapse)
    return {};
  Value product;
  for (int64_t source : collapse.getReassociationIndices()[dim]) {
    Value extent = materializeExtent(collapse.getSrc(), source);
    if (!extent)
      return {};
    product =
        product ? b.createOrFold<arith::MulIOp>(loc, product, extent) : extent;
  }
  return product;
}

/// The pure op `op` on operands that are materialized; `value` is its result.
Value SizeBuilder::clone(Operation *op, OpResult value) {
  Value known;
  bool isComplete = true;
  for (Value operand : op->getOperands()) {
    Value result = materialize(operand);
    isComplete &= static_cast<bool>(result);
    known = result ? result : known;
    if (result && isBound(operand))
      bounded.insert(value);
  }
  if (!isComplete) {
    if (!known || !isa<arith::MinSIOp>(op))
      return {};
    bounded.insert(value);
    return known;
  }
  if (isBound(value) && !isMonotone(op))
    return {};
  return b.clone(*op, mapping)->getResult(value.getResultNumber());
}

Value SizeBuilder::materialize(Value value) {
  if (Value known = mapping.lookupOrNull(value))
    return known;
  Operation *op = value.getDefiningOp();
  if (!op)
    return {};
  Value result;
  if (auto dim = dyn_cast<memref::DimOp>(op)) {
    if (std::optional<int64_t> index = dim.getConstantIndex())
      result = materializeExtent(dim.getSource(), *index);
  } else if (auto load = dyn_cast<LLVM::LoadOp>(op);
             isPure(op) || (load && load.getInvariant())) {
    // A member of the call is the same in all entries.
    if (op->getNumRegions() == 0)
      result = clone(op, cast<OpResult>(value));
  }
  if (result)
    mapping.map(value, result);
  return result;
}

/// Lets the users of `alloc`, which is larger than they ask for, see the front
/// part of it of extents `sizes`; false if that is not contiguous.
static bool showFront(memref::AllocOp alloc, ArrayRef<Value> sizes) {
  MemRefType type = alloc.getType();
  for (int64_t dim = 1; dim < type.getRank(); ++dim)
    if (type.isDynamicDim(dim))
      return false;
  OpBuilder b(alloc->getContext());
  b.setInsertionPointAfter(alloc);
  SmallVector<OpFoldResult> zeros(type.getRank(), b.getIndexAttr(0));
  SmallVector<OpFoldResult> ones(type.getRank(), b.getIndexAttr(1));
  SmallVector<OpFoldResult> extents =
      getMixedValues(type.getShape(), sizes, b.getContext());
  auto front =
      memref::SubViewOp::create(b, alloc.getLoc(), alloc, zeros, extents, ones);
  Value cast = memref::CastOp::create(b, alloc.getLoc(), type, front);
  alloc.getResult().replaceAllUsesExcept(cast, front);
  return true;
}

/// Computes all sizes at the top of the entry, equal ones once.
static LogicalResult hoistSizes(func::FuncOp func,
                                ArrayRef<memref::AllocOp> allocs) {
  IRMapping arguments;
  for (BlockArgument arg : func.getArguments())
    arguments.map(arg, arg);
  OpBuilder b = OpBuilder::atBlockBegin(&func.getBody().front());
  SizeBuilder builder(b, arguments);
  for (memref::AllocOp alloc : allocs) {
    SmallVector<Value> sizes(alloc.getDynamicSizes());
    for (OpOperand &size : alloc.getDynamicSizesMutable())
      if (Value hoisted = builder.materialize(size.get()))
        size.set(hoisted);
      else
        sizes.clear();
    bool isBound =
        llvm::any_of(sizes, [&](Value size) { return builder.isBound(size); });
    if (sizes.size() != alloc.getDynamicSizes().size() ||
        (isBound && !showFront(alloc, sizes)))
      return alloc.emitError("expected a buffer whose size follows from the "
                             "extents of the entry's arguments, got ")
             << alloc.getType();
  }
  IRRewriter rewriter(b);
  DominanceInfo dominance(func);
  eliminateCommonSubExpressions(rewriter, dominance, func);
  return success();
}

/// Numbers the ops of an entry in pre-order.
static llvm::DenseMap<Operation *, int64_t> numberOps(func::FuncOp func) {
  llvm::DenseMap<Operation *, int64_t> numbers;
  func.walk<WalkOrder::PreOrder>(
      [&](Operation *op) { numbers[op] = numbers.size(); });
  return numbers;
}

/// The lifetimes of all buffers, in order of birth.
static SmallVector<Buffer> findLifetimes(func::FuncOp func,
                                         ArrayRef<memref::AllocOp> allocs) {
  llvm::DenseMap<Operation *, int64_t> numbers = numberOps(func);
  BufferViewFlowAnalysis aliases(func);
  auto lastWithin = [&](Operation *op) {
    int64_t last = numbers[op];
    op->walk(
        [&](Operation *nested) { last = std::max(last, numbers[nested]); });
    return last;
  };
  SmallVector<Buffer> buffers;
  for (memref::AllocOp alloc : allocs) {
    Buffer buffer{alloc, numbers[alloc], numbers[alloc]};
    for (Value alias : aliases.resolve(alloc)) {
      for (Operation *user : alias.getUsers()) {
        Operation *seen = alloc->getBlock()->findAncestorOpInBlock(*user);
        if (!seen) { // It leaves its block: alive in the whole entry.
          buffer.birth = 0;
          seen = func;
        }
        buffer.death = std::max(buffer.death, lastWithin(seen));
      }
    }
    buffers.push_back(buffer);
  }
  llvm::sort(buffers, [](const Buffer &a, const Buffer &b) {
    return a.birth < b.birth;
  });
  return buffers;
}

/// The bytes of `type`'s static extents and element.
static int64_t staticBytes(MemRefType type) {
  int64_t bytes = llvm::divideCeil(type.getElementTypeBitWidth(), 8);
  for (int64_t extent : type.getShape())
    if (!ShapedType::isDynamic(extent))
      bytes *= extent;
  return bytes;
}

/// Assigns a slot to each buffer; returns the slots' numbers.
static SmallVector<size_t> assignSlots(ArrayRef<Buffer> buffers,
                                       SmallVector<Slot> &slots) {
  SmallVector<size_t> assigned;
  for (const Buffer &buffer : buffers) {
    memref::AllocOp alloc = buffer.alloc;
    SmallVector<Value> extents(alloc.getDynamicSizes());
    llvm::sort(extents, [](Value a, Value b) {
      return a.getDefiningOp()->isBeforeInBlock(b.getDefiningOp());
    });
    int64_t bytes = staticBytes(alloc.getType());
    auto *slot = llvm::find_if(slots, [&](const Slot &slot) {
      return slot.death < buffer.birth && slot.extents == extents;
    });
    if (slot == slots.end())
      slot = &slots.emplace_back(Slot{extents, bytes, buffer.death});
    slot->bytes = std::max(slot->bytes, bytes);
    slot->death = buffer.death;
    assigned.push_back(std::distance(slots.begin(), slot));
  }
  return assigned;
}

/// The offset of each slot, and where the last one ends; `lookup` gives an
/// extent.
static SmallVector<Value> layOut(ImplicitLocOpBuilder &b, ArrayRef<Slot> slots,
                                 function_ref<Value(Value)> lookup) {
  SmallVector<Value> offsets = {constantIndex(b, 0)};
  for (const Slot &slot : slots) {
    Value bytes = constantIndex(b, slot.bytes);
    for (Value extent : slot.extents)
      bytes = arith::MulIOp::create(b, bytes, lookup(extent));
    Value end = arith::AddIOp::create(b, offsets.back(), bytes);
    Value up = arith::AddIOp::create(b, end, constantIndex(b, kAlignment - 1));
    offsets.push_back(
        arith::AndIOp::create(b, up, constantIndex(b, -kAlignment)));
  }
  return offsets;
}

/// Adds `F.workspace`.
static void addWorkspaceFunction(func::FuncOp func, ArrayRef<Slot> slots) {
  OpBuilder builder(func);
  auto type =
      builder.getFunctionType(func.getArgumentTypes(), builder.getI64Type());
  auto query = func::FuncOp::create(
      builder, func.getLoc(), (func.getName() + ".workspace").str(), type);
  for (NamedAttribute attr : func->getDiscardableAttrs())
    query->setDiscardableAttr(attr.getName(), attr.getValue());
  ImplicitLocOpBuilder b(func.getLoc(), builder);
  b.setInsertionPointToStart(query.addEntryBlock());
  IRMapping arguments;
  arguments.map(func.getArguments(), query.getArguments());
  SizeBuilder sizes(b, arguments);
  SmallVector<Value> offsets =
      layOut(b, slots, [&](Value extent) { return sizes.materialize(extent); });
  Value bytes = arith::IndexCastOp::create(b, b.getI64Type(), offsets.back());
  func::ReturnOp::create(b, bytes);
}

/// The first op after the computation of the extents of all slots.
static Operation *afterSizes(func::FuncOp func, ArrayRef<Slot> slots) {
  Operation *last = nullptr;
  for (const Slot &slot : slots)
    for (Value extent : slot.extents)
      if (Operation *op = extent.getDefiningOp())
        if (!last || last->isBeforeInBlock(op))
          last = op;
  return last ? last->getNextNode() : &func.getBody().front().front();
}

namespace {

struct LowerWorkspacePass
    : mlir::moe::impl::LowerWorkspacePassBase<LowerWorkspacePass> {
  void runOnOperation() override {
    for (auto func : llvm::to_vector(getOperation().getOps<func::FuncOp>()))
      if (func.isPublic() && failed(placeBuffers(func)))
        return signalPassFailure();
  }

  LogicalResult placeBuffers(func::FuncOp func) {
    SmallVector<memref::AllocOp> allocs;
    WalkResult walk = func.walk([&](memref::AllocOp alloc) {
      if (alloc->getParentOfType<scf::ParallelOp>()) {
        alloc.emitError("expected no buffer in a parallel loop, got ")
            << alloc.getType();
        return WalkResult::interrupt();
      }
      allocs.push_back(alloc);
      return WalkResult::advance();
    });
    if (walk.wasInterrupted() || failed(hoistSizes(func, allocs)))
      return failure();

    SmallVector<Buffer> buffers = findLifetimes(func, allocs);
    SmallVector<Slot> slots;
    SmallVector<size_t> assigned = assignSlots(buffers, slots);
    numBuffers += buffers.size();
    numSlots += slots.size();
    addWorkspaceFunction(func, slots);

    OpBuilder builder(afterSizes(func, slots));
    ImplicitLocOpBuilder b(func.getLoc(), builder);
    Value pointer = loadCallField(b, func.getArgument(0), CallField::Workspace);
    auto bytes = MemRefType::get({ShapedType::kDynamic}, b.getI8Type());
    Value workspace = memrefAt(b, bytes, pointer);
    SmallVector<Value> offsets =
        layOut(b, slots, [](Value extent) { return extent; });
    for (auto [buffer, slot] : llvm::zip_equal(buffers, assigned)) {
      memref::AllocOp alloc = buffer.alloc;
      OpBuilder at(alloc);
      Value view =
          memref::ViewOp::create(at, alloc.getLoc(), alloc.getType(), workspace,
                                 offsets[slot], alloc.getDynamicSizes());
      alloc.replaceAllUsesWith(view);
      alloc.erase();
    }
    return success();
  }
};

} // namespace

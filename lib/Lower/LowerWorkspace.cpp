//===- LowerWorkspace.cpp - Buffers of an entry in the caller's memory ----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// 1. Sizes are computed at the top of the entry, from extents of its arguments.
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

static Value materialize(OpBuilder &b, Value value, IRMapping &mapping);

/// The extent of dimension `dim` of `buffer`, computed from entry arguments;
/// null if it cannot be.
static Value materializeExtent(OpBuilder &b, Value buffer, int64_t dim,
                               IRMapping &mapping) {
  Location loc = buffer.getLoc();
  auto type = cast<MemRefType>(buffer.getType());
  if (!type.isDynamicDim(dim))
    return arith::ConstantIndexOp::create(b, loc, type.getDimSize(dim));
  if (isa<BlockArgument>(buffer)) {
    Value arg = mapping.lookupOrNull(buffer);
    return arg ? b.createOrFold<memref::DimOp>(loc, arg, dim) : Value();
  }
  Operation *op = buffer.getDefiningOp();
  if (auto alloc = dyn_cast<memref::AllocOp>(op))
    return materialize(b, alloc.getDynamicSizes()[type.getDynamicDimIndex(dim)],
                       mapping);
  if (auto cast = dyn_cast<memref::CastOp>(op))
    return materializeExtent(b, cast.getSource(), dim, mapping);
  auto collapse = dyn_cast<memref::CollapseShapeOp>(op);
  if (!collapse)
    return {};
  Value product;
  for (int64_t source : collapse.getReassociationIndices()[dim]) {
    Value extent = materializeExtent(b, collapse.getSrc(), source, mapping);
    if (!extent)
      return {};
    product =
        product ? b.createOrFold<arith::MulIOp>(loc, product, extent) : extent;
  }
  return product;
}

/// Clones the computation of `value` from entry arguments to the insertion
/// point; null if it is not one.
static Value materialize(OpBuilder &b, Value value, IRMapping &mapping) {
  if (Value known = mapping.lookupOrNull(value))
    return known;
  Operation *op = value.getDefiningOp();
  if (!op)
    return {};
  Value result;
  if (auto dim = dyn_cast<memref::DimOp>(op)) {
    if (std::optional<int64_t> index = dim.getConstantIndex())
      result = materializeExtent(b, dim.getSource(), *index, mapping);
  } else if (isPure(op) && op->getNumRegions() == 0) {
    for (Value operand : op->getOperands())
      if (!materialize(b, operand, mapping))
        return {};
    result = b.clone(*op, mapping)
                 ->getResult(cast<OpResult>(value).getResultNumber());
  }
  if (result)
    mapping.map(value, result);
  return result;
}

/// Computes all sizes at the top of the entry, equal ones once.
static LogicalResult hoistSizes(func::FuncOp func,
                                ArrayRef<memref::AllocOp> allocs) {
  OpBuilder b = OpBuilder::atBlockBegin(&func.getBody().front());
  IRMapping mapping;
  for (BlockArgument arg : func.getArguments())
    mapping.map(arg, arg);
  for (memref::AllocOp alloc : allocs) {
    for (OpOperand &size : alloc.getDynamicSizesMutable()) {
      Value hoisted = materialize(b, size.get(), mapping);
      if (!hoisted)
        return alloc.emitError("expected a buffer whose size follows from the "
                               "extents of the entry's arguments, got ")
               << alloc.getType();
      size.set(hoisted);
    }
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
  IRMapping mapping;
  mapping.map(func.getArguments(), query.getArguments());
  SmallVector<Value> offsets = layOut(
      b, slots, [&](Value extent) { return materialize(b, extent, mapping); });
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

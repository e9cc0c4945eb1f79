//===- LowerEntries.cpp - Public functions become entries of a package ----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Public functions get memref arguments only, results included, and the module
// gets `moe.functions`, the description that the manifest repeats.
//
//===----------------------------------------------------------------------===//

#include "moe/IR/MoE.h"
#include "moe/Lower/Passes.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Interfaces/ValueBoundsOpInterface.h"

#define DEBUG_TYPE "moe-lower-entries"

using namespace mlir;
using namespace mlir::moe;

namespace mlir::moe {
#define GEN_PASS_DEF_LOWERENTRIESPASS
#include "moe/Lower/Passes.h.inc"
} // namespace mlir::moe

/// `f32`, `bf16`, `i32`, ...: MLIR's names are the manifest's, except for i1.
static std::string dtypeName(Type element) {
  if (element.isInteger(1))
    return "bool";
  std::string name;
  llvm::raw_string_ostream(name) << element;
  return name;
}

/// Checks that `moe.dims` describes `type`.
static LogicalResult verifyDims(func::FuncOp func, ShapedType type,
                                ArrayAttr dims, StringRef name) {
  auto matches = [](int64_t extent, Attribute dim) {
    if (ShapedType::isDynamic(extent))
      return isa<StringAttr>(dim);
    auto integer = dyn_cast<IntegerAttr>(dim);
    return integer && integer.getInt() == extent;
  };
  if (static_cast<int64_t>(dims.size()) == type.getRank() &&
      llvm::all_of_zip(type.getShape(), dims, matches))
    return success();
  return func.emitError("expected `moe.dims` of '")
         << name << "' to describe " << type << ", got " << dims;
}

/// The extents of an argument: `moe.dims`, or a symbol of its own for each
/// dynamic extent.
static ArrayAttr argumentDims(func::FuncOp func, unsigned index,
                              StringRef name) {
  if (auto dims = func.getArgAttrOfType<ArrayAttr>(index, kDimsAttr))
    return dims;
  Builder b(func.getContext());
  SmallVector<Attribute> dims;
  auto type = cast<ShapedType>(func.getArgumentTypes()[index]);
  for (auto [dim, extent] : llvm::enumerate(type.getShape())) {
    if (ShapedType::isDynamic(extent))
      dims.push_back(b.getStringAttr(name + "." + Twine(dim)));
    else
      dims.push_back(b.getI64IntegerAttr(extent));
  }
  return b.getArrayAttr(dims);
}

/// The extents of a result: `moe.dims`, or for each dynamic extent the symbol
/// of an argument's that is equal to it.
static FailureOr<ArrayAttr> resultDims(func::FuncOp func, unsigned index,
                                       Value returned, StringRef name,
                                       ArrayRef<ArrayAttr> argDims) {
  if (auto dims = func.getResultAttrOfType<ArrayAttr>(index, kDimsAttr))
    return dims;
  Builder b(func.getContext());
  auto symbolOf = [&](int64_t dim) -> Attribute {
    for (auto [arg, dims] : llvm::zip_equal(func.getArguments(), argDims)) {
      auto type = dyn_cast<RankedTensorType>(arg.getType());
      if (!type)
        continue;
      for (int64_t d = 0; d < type.getRank(); ++d) {
        FailureOr<bool> equal =
            ValueBoundsConstraintSet::areEqual({returned, dim}, {arg, d});
        if (type.isDynamicDim(d) && succeeded(equal) && *equal)
          return dims[d];
      }
    }
    return {};
  };
  SmallVector<Attribute> dims;
  auto type = cast<RankedTensorType>(returned.getType());
  for (int64_t dim = 0; dim < type.getRank(); ++dim) {
    Attribute extent = type.isDynamicDim(dim)
                           ? symbolOf(dim)
                           : b.getI64IntegerAttr(type.getDimSize(dim));
    if (!extent)
      return func.emitError("expected extent ")
             << dim << " of '" << name
             << "' to equal an extent of an argument; name it with `moe.dims`";
    dims.push_back(extent);
  }
  return b.getArrayAttr(dims);
}

static DictionaryAttr describe(StringRef name, StringRef kind, ShapedType type,
                               ArrayAttr dims) {
  Builder b(dims.getContext());
  return b.getDictionaryAttr(
      {b.getNamedAttr("name", b.getStringAttr(name)),
       b.getNamedAttr("kind", b.getStringAttr(kind)),
       b.getNamedAttr("dtype",
                      b.getStringAttr(dtypeName(type.getElementType()))),
       b.getNamedAttr("shape", dims)});
}

/// Rewrites one public function and returns its description.
static FailureOr<DictionaryAttr> lowerEntry(func::FuncOp func) {
  if (!func.getBody().hasOneBlock())
    return func.emitError("expected a body of one block");
  Block &block = func.getBody().front();
  auto ret = cast<func::ReturnOp>(block.getTerminator());
  OpBuilder b(func.getContext());
  SmallVector<Attribute> described;
  SmallVector<ArrayAttr> argDims;
  auto nameOf = [&](StringAttr given, StringRef fallback, unsigned index) {
    return given ? given.str() : (fallback + Twine(index)).str();
  };

  for (auto [index, arg] : llvm::enumerate(func.getArguments())) {
    auto type = dyn_cast<ShapedType>(arg.getType());
    if (!isa<RankedTensorType, MemRefType>(arg.getType()))
      return func.emitError("expected tensor or memref arguments, got ")
             << arg.getType();
    std::string name = nameOf(
        func.getArgAttrOfType<StringAttr>(index, kNameAttr), "arg", index);
    ArrayAttr dims = argumentDims(func, index, name);
    if (failed(verifyDims(func, type, dims, name)))
      return failure();
    bool state = static_cast<bool>(func.getArgAttr(index, kStateAttr));
    argDims.push_back(dims);
    described.push_back(describe(name, state ? "state" : "input", type, dims));
  }
  SmallVector<MemRefType> results;
  for (auto [index, value] : llvm::enumerate(ret.getOperands())) {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    if (!type)
      return func.emitError("expected tensor results, got ") << value.getType();
    std::string name =
        nameOf(func.getResultAttrOfType<StringAttr>(index, kNameAttr), "result",
               index);
    FailureOr<ArrayAttr> dims = resultDims(func, index, value, name, argDims);
    if (failed(dims) || failed(verifyDims(func, type, *dims, name)))
      return failure();
    described.push_back(describe(name, "output", type, *dims));
    results.push_back(MemRefType::get(type.getShape(), type.getElementType()));
  }

  b.setInsertionPointToStart(&block);
  for (BlockArgument arg : block.getArguments()) {
    auto type = dyn_cast<RankedTensorType>(arg.getType());
    if (!type)
      continue;
    arg.setType(MemRefType::get(type.getShape(), type.getElementType()));
    auto tensor = bufferization::ToTensorOp::create(b, func.getLoc(), type, arg,
                                                    /*restrict=*/true);
    arg.replaceAllUsesExcept(tensor, tensor);
  }
  b.setInsertionPoint(ret);
  for (auto [type, value] : llvm::zip_equal(results, ret.getOperands())) {
    Value out = block.addArgument(type, func.getLoc());
    bufferization::MaterializeInDestinationOp::create(
        b, ret.getLoc(), /*result=*/Type(), value, out, /*restrict=*/true,
        /*writable=*/true);
  }
  ret->setOperands({});
  for (unsigned i = 0; i < func.getNumArguments(); ++i)
    func.setArgAttrs(i, ArrayRef<NamedAttribute>());
  func.setAllResultAttrs(ArrayRef<DictionaryAttr>());
  func.setType(b.getFunctionType(block.getArgumentTypes(), {}));
  func->setAttr(LLVM::LLVMDialect::getEmitCWrapperAttrName(), b.getUnitAttr());
  return b.getDictionaryAttr(
      {b.getNamedAttr("name", b.getStringAttr(func.getName())),
       b.getNamedAttr("arguments", b.getArrayAttr(described))});
}

namespace {

struct LowerEntriesPass
    : mlir::moe::impl::LowerEntriesPassBase<LowerEntriesPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    WalkResult calls = module.walk([&](func::CallOp call) {
      auto callee = module.lookupSymbol<func::FuncOp>(call.getCallee());
      if (!callee || callee.isPrivate())
        return WalkResult::advance();
      call.emitError("expected calls of private functions only, got @")
          << call.getCallee();
      return WalkResult::interrupt();
    });
    if (calls.wasInterrupted())
      return signalPassFailure();
    SmallVector<Attribute> functions;
    for (auto func : module.getOps<func::FuncOp>()) {
      if (!func.isPublic())
        continue;
      FailureOr<DictionaryAttr> description = lowerEntry(func);
      if (failed(description))
        return signalPassFailure();
      functions.push_back(*description);
    }
    module->setAttr(kFunctionsAttr, ArrayAttr::get(&getContext(), functions));
  }
};

} // namespace

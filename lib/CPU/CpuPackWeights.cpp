//===- CpuPackWeights.cpp - Products read packed parameters ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// `pack(load @w[%l])` is `load @w.packed[%l]` and one step of the parameter
// program, because a load has leading indices only and packing keeps leading
// extents. A map from sources and format to packed parameters makes each once.
//
//===----------------------------------------------------------------------===//

#include "Routed.h"

#include "moe/CPU/Passes.h"
#include "moe/IR/Packing.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CPUPACKWEIGHTSPASS
#include "moe/CPU/Passes.h.inc"
} // namespace mlir::moe

#define DEBUG_TYPE "moe-cpu-pack-weights"

using namespace mlir;
using namespace mlir::moe;

namespace {

/// The packed parameters of a module.
class PackedParameters {
public:
  explicit PackedParameters(ModuleOp module) : symbols(module) {
    for (ParameterOp op : module.getOps<ParameterOp>())
      if (op.getPacked())
        bySources[{*op.getPacked(), op.getPackFormat()}] = op;
  }

  Type getType(LoadParameterOp load) {
    return symbols.lookup<ParameterOp>(load.getParameter()).getType();
  }

  /// Loads, before `user`, the packed form of what `loads` read: one parameter,
  /// or two of one type at the same indices.
  Value load(ArrayRef<LoadParameterOp> loads, PackFormat format,
             Operation *user);

private:
  ParameterOp get(ArrayRef<LoadParameterOp> loads, PackFormat format);

  SymbolTable symbols;
  DenseMap<std::pair<ArrayAttr, PackFormat>, ParameterOp> bySources;
};

} // namespace

/// Says what rounding to `format` may change.
static void remarkError(ParameterOp parameter, PackFormat format) {
  StringRef unit = "its magnitude";
  if (format == PackFormat::Int8)
    unit = "the largest magnitude of its output";
  else if (isByteFormat(format))
    unit = "the largest magnitude of 32";
  parameter.emitRemark("packs as ")
      << stringifyPackFormat(format) << ": an element changes by up to "
      << llvm::formatv("{0:f4}", getErrorBound(format)).str() << " of " << unit;
}

ParameterOp PackedParameters::get(ArrayRef<LoadParameterOp> loads,
                                  PackFormat format) {
  OpBuilder b(loads.front());
  SmallVector<Attribute> names;
  SmallVector<StringRef> words;
  for (LoadParameterOp load : loads) {
    names.push_back(load.getParameterAttr());
    words.push_back(load.getParameter());
  }
  ArrayAttr sources = b.getArrayAttr(names);
  ParameterOp &parameter = bySources[{sources, format}];
  if (parameter)
    return parameter;

  std::string name = llvm::join(words, "_") + ".packed";
  LoadParameterOp lastLoad = loads.back();
  auto last = symbols.lookup<ParameterOp>(lastLoad.getParameter());
  b.setInsertionPointAfter(last);
  RankedTensorType type = last.getTensorType();
  parameter =
      ParameterOp::create(b, last.getLoc(), name, type, format, sources);
  symbols.insert(parameter);
  if (format != getOwnFormat(type.getElementType()) &&
      format != PackFormat::F32)
    remarkError(parameter, format);
  return parameter;
}

Value PackedParameters::load(ArrayRef<LoadParameterOp> loads, PackFormat format,
                             Operation *user) {
  ParameterOp parameter = get(loads, format);
  LoadParameterOp first = loads.front();
  RankedTensorType all = parameter.getTensorType();
  auto slice = RankedTensorType::get(
      all.getShape().drop_front(first.getIndices().size()),
      all.getElementType());
  OpBuilder b(user);
  return LoadParameterOp::create(b, first.getLoc(), slice,
                                 parameter.getSymName(), first.getIndices());
}

/// The loads of parameters that define `weights`; failure with a remark on
/// `user` if a weight is something else.
static FailureOr<SmallVector<LoadParameterOp>> getLoads(Operation *user,
                                                        ValueRange weights) {
  SmallVector<LoadParameterOp> loads;
  for (Value weight : weights) {
    auto load = weight.getDefiningOp<LoadParameterOp>();
    if (!load)
      return user->emitRemark(
          "weights stay unpacked: not a moe.load_parameter");
    loads.push_back(load);
  }
  return loads;
}

static void eraseDead(ArrayRef<LoadParameterOp> loads) {
  for (Operation *load : SetVector<Operation *>(loads.begin(), loads.end()))
    if (load->use_empty())
      load->erase();
}

/// The format that the weights of a product are packed in: the one that was
/// asked for, or else, or for routers, their own.
static PackFormat chooseFormat(LoadParameterOp load, Value product,
                               std::optional<PackFormat> format) {
  Type element = cast<RankedTensorType>(load.getType()).getElementType();
  if (format && !isRouted(product))
    return *format;
  return getOwnFormat(element);
}

static LogicalResult pack(GroupedMatmulOp op, std::optional<PackFormat> asked,
                          PackedParameters &parameters) {
  FailureOr<SmallVector<LoadParameterOp>> loads = getLoads(op, op.getWeights());
  if (failed(loads))
    return failure();
  PackFormat format = chooseFormat(loads->front(), op.getResult(), asked);
  op.getWeightsMutable().assign(parameters.load(*loads, format, op));
  op.setPacked(format);
  eraseDead(*loads);
  return success();
}

static LogicalResult pack(ExpertFfnOp op, std::optional<PackFormat> asked,
                          PackedParameters &parameters) {
  FailureOr<SmallVector<LoadParameterOp>> loads = getLoads(op, op.getWeights());
  if (failed(loads))
    return failure();
  // Gate and up, or up alone.
  ArrayRef<LoadParameterOp> in = ArrayRef(*loads).drop_back();
  LoadParameterOp first = in.front(), last = in.back(), down = loads->back();
  if (parameters.getType(first) != parameters.getType(last) ||
      !isEqualConstantIntOrValueArray(getAsOpFoldResult(first.getIndices()),
                                      getAsOpFoldResult(last.getIndices())))
    return op.emitRemark(
        "weights stay unpacked: gate and up differ in type or indices");
  PackFormat format = chooseFormat(first, op.getResult(), asked);
  op.getWeightsMutable().assign(
      {parameters.load(in, format, op), parameters.load(down, format, op)});
  op.setPacked(format);
  op.setInner(cast<RankedTensorType>(first.getType()).getShape().end()[-2]);
  eraseDead(*loads);
  return success();
}

namespace {

struct CpuPackWeightsPass final
    : moe::impl::CpuPackWeightsPassBase<CpuPackWeightsPass> {
  using CpuPackWeightsPassBase::CpuPackWeightsPassBase;

  void runOnOperation() override {
    std::optional<PackFormat> asked = symbolizePackFormat(format);
    if (!asked && !format.empty()) {
      getOperation().emitError("expected a format of weights, got '")
          << format << "'";
      return signalPassFailure();
    }
    PackedParameters parameters(getOperation());
    auto packAll = [&](auto op) {
      if (!op.getPacked())
        ++(succeeded(pack(op, asked, parameters)) ? numPacked : numDeclined);
    };
    getOperation().walk([&](GroupedMatmulOp op) { packAll(op); });
    getOperation().walk([&](ExpertFfnOp op) { packAll(op); });
  }
};

} // namespace

//===- CpuPackWeights.cpp - Products read packed parameters ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// `pack(load @w[%l])` is `load @w.packed[%l]` and one step of the parameter
// program, because a load has leading indices only and packing keeps leading
// extents. A map from sources to packed parameters makes each once.
//
//===----------------------------------------------------------------------===//

#include "moe/CPU/Passes.h"
#include "moe/IR/Packing.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"

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
        bySources[*op.getPacked()] = op;
  }

  Type getType(LoadParameterOp load) {
    return symbols.lookup<ParameterOp>(load.getParameter()).getType();
  }

  /// Loads, before `user`, the packed form of what `loads` read: one parameter,
  /// or two of one type at the same indices.
  Value load(ArrayRef<LoadParameterOp> loads, Operation *user);

private:
  ParameterOp get(ArrayRef<LoadParameterOp> loads);

  SymbolTable symbols;
  DenseMap<ArrayAttr, ParameterOp> bySources;
};

} // namespace

ParameterOp PackedParameters::get(ArrayRef<LoadParameterOp> loads) {
  OpBuilder b(loads.front());
  SmallVector<Attribute> names;
  SmallVector<StringRef> words;
  for (LoadParameterOp load : loads) {
    names.push_back(load.getParameterAttr());
    words.push_back(load.getParameter());
  }
  ArrayAttr sources = b.getArrayAttr(names);
  ParameterOp &parameter = bySources[sources];
  if (parameter)
    return parameter;

  std::string name = llvm::join(words, "_") + ".packed";
  LoadParameterOp lastLoad = loads.back();
  auto last = symbols.lookup<ParameterOp>(lastLoad.getParameter());
  b.setInsertionPointAfter(last);
  parameter = ParameterOp::create(
      b, last.getLoc(), name, last.getTensorType(),
      getOwnFormat(last.getTensorType().getElementType()), sources);
  symbols.insert(parameter);
  return parameter;
}

Value PackedParameters::load(ArrayRef<LoadParameterOp> loads, Operation *user) {
  ParameterOp parameter = get(loads);
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

static LogicalResult pack(GroupedMatmulOp op, PackedParameters &parameters) {
  FailureOr<SmallVector<LoadParameterOp>> loads = getLoads(op, op.getWeights());
  if (failed(loads))
    return failure();
  op.getWeightsMutable().assign(parameters.load(*loads, op));
  op.setPacked(getOwnFormat(
      cast<RankedTensorType>(loads->front().getType()).getElementType()));
  eraseDead(*loads);
  return success();
}

static LogicalResult pack(ExpertFfnOp op, PackedParameters &parameters) {
  FailureOr<SmallVector<LoadParameterOp>> loads = getLoads(op, op.getWeights());
  if (failed(loads))
    return failure();
  LoadParameterOp gate = (*loads)[0], up = (*loads)[1], down = (*loads)[2];
  if (parameters.getType(gate) != parameters.getType(up) ||
      !isEqualConstantIntOrValueArray(getAsOpFoldResult(gate.getIndices()),
                                      getAsOpFoldResult(up.getIndices())))
    return op.emitRemark(
        "weights stay unpacked: gate and up differ in type or indices");
  auto gateType = cast<RankedTensorType>(gate.getType());
  Value gateUp = parameters.load({gate, up}, op);
  op.getWeightsMutable().assign({gateUp, parameters.load(down, op)});
  op.setPacked(getOwnFormat(gateType.getElementType()));
  op.setInner(gateType.getShape().end()[-2]);
  eraseDead(*loads);
  return success();
}

namespace {

struct CpuPackWeightsPass final
    : moe::impl::CpuPackWeightsPassBase<CpuPackWeightsPass> {
  void runOnOperation() override {
    PackedParameters parameters(getOperation());
    auto packAll = [&](auto op) {
      if (!op.getPacked())
        ++(succeeded(pack(op, parameters)) ? numPacked : numDeclined);
    };
    getOperation().walk([&](GroupedMatmulOp op) { packAll(op); });
    getOperation().walk([&](ExpertFfnOp op) { packAll(op); });
  }
};

} // namespace

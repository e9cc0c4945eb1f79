//===- BufferizableOps.cpp - How moe ops bufferize ------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Destination-style ops become the same op on memrefs, as in linalg.
// `cache_update` reads tensors and has no result. `load_parameter` becomes a
// read-only memref: whoever would write to it gets a copy, which the verifier
// of the form *buffers* rejects.
//
//===----------------------------------------------------------------------===//

#include "moe/IR/MoE.h"

#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::bufferization;

namespace {

/// Replaces each tensor operand of `op` by its buffer and drops the results.
FailureOr<SmallVector<Value>> getBuffers(Operation *op, RewriterBase &rewriter,
                                         const BufferizationOptions &options,
                                         const BufferizationState &state) {
  SmallVector<Value> buffers;
  for (Value operand : op->getOperands()) {
    if (!isa<TensorType>(operand.getType())) {
      buffers.push_back(operand);
      continue;
    }
    FailureOr<Value> buffer = getBuffer(rewriter, operand, options, state);
    if (failed(buffer))
      return failure();
    buffers.push_back(*buffer);
  }
  return buffers;
}

void createOnBuffers(Operation *op, RewriterBase &rewriter,
                     ValueRange buffers) {
  rewriter.setInsertionPoint(op);
  OperationState state(op->getLoc(), op->getName(), buffers, TypeRange(),
                       op->getDiscardableAttrDictionary().getValue());
  state.propertiesAttr = op->getPropertiesAsAttribute();
  rewriter.create(state);
}

template <typename OpTy>
struct DestinationModel
    : DstBufferizableOpInterfaceExternalModel<DestinationModel<OpTy>, OpTy> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand,
                              const AnalysisState &) const {
    return !cast<DestinationStyleOpInterface>(op).isDpsInit(&operand);
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    FailureOr<SmallVector<Value>> buffers =
        getBuffers(op, rewriter, options, state);
    if (failed(buffers))
      return failure();
    createOnBuffers(op, rewriter, *buffers);
    SmallVector<Value> inits;
    for (OpOperand &init :
         cast<DestinationStyleOpInterface>(op).getDpsInitsMutable())
      inits.push_back((*buffers)[init.getOperandNumber()]);
    replaceOpWithBufferizedValues(rewriter, op, inits);
    return success();
  }
};

struct CacheUpdateModel
    : BufferizableOpInterface::ExternalModel<CacheUpdateModel, CacheUpdateOp> {
  bool bufferizesToMemoryRead(Operation *, OpOperand &,
                              const AnalysisState &) const {
    return true;
  }
  bool bufferizesToMemoryWrite(Operation *, OpOperand &,
                               const AnalysisState &) const {
    return false;
  }
  AliasingValueList getAliasingValues(Operation *, OpOperand &,
                                      const AnalysisState &) const {
    return {};
  }
  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    FailureOr<SmallVector<Value>> buffers =
        getBuffers(op, rewriter, options, state);
    if (failed(buffers))
      return failure();
    createOnBuffers(op, rewriter, *buffers);
    rewriter.eraseOp(op);
    return success();
  }
};

struct LoadParameterModel
    : BufferizableOpInterface::ExternalModel<LoadParameterModel,
                                             LoadParameterOp> {
  bool isWritable(Operation *, Value, const AnalysisState &) const {
    return false;
  }
  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &,
                          BufferizationState &) const {
    auto load = cast<LoadParameterOp>(op);
    auto tensor = cast<RankedTensorType>(load.getResult().getType());
    auto memref = MemRefType::get(tensor.getShape(), tensor.getElementType());
    Value buffer =
        LoadParameterOp::create(rewriter, op->getLoc(), memref,
                                load.getParameterAttr(), load.getIndices());
    replaceOpWithBufferizedValues(rewriter, op, buffer);
    return success();
  }
};

} // namespace

void mlir::moe::registerBufferizableOpInterfaceExternalModels(
    DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, MoEDialect *) {
    AttentionOp::attachInterface<DestinationModel<AttentionOp>>(*context);
    CacheUpdateOp::attachInterface<CacheUpdateModel>(*context);
    ExpertFfnOp::attachInterface<DestinationModel<ExpertFfnOp>>(*context);
    GroupedMatmulOp::attachInterface<DestinationModel<GroupedMatmulOp>>(
        *context);
    LoadParameterOp::attachInterface<LoadParameterModel>(*context);
    RouteOp::attachInterface<DestinationModel<RouteOp>>(*context);
  });
}

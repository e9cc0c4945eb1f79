//===- SyntheticLayer.cpp - A product alone, with random numbers ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SyntheticLayer.h"

#include "moe/Export/Package.h"
#include "moe/IR/Packing.h"
#include "moe/Pipelines/Pipelines.h"

#include "Runtime/DType.h"
#include "Runtime/Hash.h"

#include "mlir/Dialect/DLTI/DLTI.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/MemoryBuffer.h"

#include <chrono>
#include <random>

using namespace mlir;
using namespace mlir::moe;

using ::moe::runtime::Memory;

/// Bytes of all copies of the weights, at least and at most: more than caches
/// hold, and what most machines can spare.
static constexpr int64_t kLeastBytes = int64_t(512) << 20,
                         kMostBytes = int64_t(2) << 30;

/// Different arrays of indices.
static constexpr int64_t kRoutings = 16;

static llvm::Error getRuntimeError() {
  return llvm::createStringError(moe_error());
}

//===----------------------------------------------------------------------===//
// Variants
//===----------------------------------------------------------------------===//

llvm::Expected<Variant> Variant::create(ModuleOp layer, StringRef isa,
                                        const Target &target,
                                        const llvm::Twine &folder,
                                        int64_t maxTokens) {
  MLIRContext *context = layer.getContext();
  OwningOpRef<ModuleOp> module = layer.clone();
  module->getOperation()->setAttr(DLTIDialect::kTargetSystemDescAttrName,
                                  target.toAttribute(context));
  PassManager passes(context);
  auto options = CompileOptions::createFromString(("isa=" + isa).str());
  buildLoweringPipeline(passes, *options);
  TimingScope timing;
  std::string path = folder.str();
  if (failed(passes.run(*module)) ||
      failed(writePackage(*module, {path, "", {}, {}}, timing)))
    return llvm::createStringError("expected a product that compiles alone");

  Variant variant;
  auto code = llvm::MemoryBuffer::getFile(path + "/module.so");
  if (!code)
    return llvm::createFileError(path, code.getError());
  variant.code = ::moe::runtime::hashBytes((*code)->getBuffer());
  moe_model *model;
  if (moe_model_open(path.c_str(), nullptr, &model) != MOE_OK)
    return getRuntimeError();
  variant.model.reset(model);
  moe_state *state;
  if (moe_state_create(model, 0, 0, maxTokens, 0, &state) != MOE_OK)
    return getRuntimeError();
  variant.state.reset(state);
  return variant;
}

llvm::Expected<double> Variant::time(ArrayRef<moe_tensor> inputs,
                                     const moe_tensor &output) {
  const moe_function *function = moe_function_at(model.get(), 0);
  auto begin = std::chrono::steady_clock::now();
  moe_status status =
      moe_call(state.get(), function, inputs.data(), inputs.size(), &output, 1);
  std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - begin;
  if (status != MOE_OK)
    return getRuntimeError();
  return seconds.count();
}

//===----------------------------------------------------------------------===//
// Modules
//===----------------------------------------------------------------------===//

bool SyntheticLayer::canTime(Operation *op) {
  if (auto ffn = dyn_cast<ExpertFfnOp>(op))
    return ffn.getPacked().has_value();
  auto matmul = dyn_cast<GroupedMatmulOp>(op);
  return matmul && matmul.getPacked() && !matmul.getOffsets();
}

static int64_t getBytes(Type type) {
  auto shaped = cast<ShapedType>(type);
  return shaped.getNumElements() * shaped.getElementTypeBitWidth() / 8;
}

static int64_t getWeightBytes(Operation *op) {
  int64_t bytes = 0;
  for (Type type : op->getOperandTypes())
    if (cast<ShapedType>(type).hasStaticShape())
      bytes += getBytes(type);
  return bytes;
}

/// As many of the experts as there is memory for; 0 for a product without.
static int64_t countExperts(Operation *op) {
  auto ffn = dyn_cast<ExpertFfnOp>(op);
  if (!ffn)
    return 0;
  int64_t all = ffn.getNumExperts();
  int64_t topK = cast<ShapedType>(ffn.getIdx().getType()).getDimSize(1);
  double share = std::min(double(kMostBytes) / getWeightBytes(op), 1.0);
  return std::max<int64_t>(all * share, topK);
}

/// func @layer(%operands...) { return op(%operands...) } with `experts` experts
static OwningOpRef<ModuleOp> makeModule(Operation *op, int64_t experts) {
  Location loc = op->getLoc();
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  OpBuilder builder = OpBuilder::atBlockEnd(module->getBody());
  ImplicitLocOpBuilder b(loc, builder);
  OpOperand &init = *cast<DestinationStyleOpInterface>(op).getDpsInitOperand(0);
  SmallVector<Type> types;
  for (OpOperand &operand : op->getOpOperands()) {
    auto type = cast<RankedTensorType>(operand.get().getType());
    if (experts && type.hasStaticShape()) {
      SmallVector<int64_t> shape(type.getShape());
      shape.front() = experts;
      type = type.clone(shape);
    }
    if (&operand != &init)
      types.push_back(type);
  }
  auto function = func::FuncOp::create(
      b, "layer", b.getFunctionType(types, op->getResultTypes()));
  auto dims = [&](Type type) -> Attribute {
    SmallVector<Attribute> extents;
    for (int64_t extent : cast<ShapedType>(type).getShape())
      extents.push_back(ShapedType::isDynamic(extent)
                            ? Attribute(b.getStringAttr("T"))
                            : b.getI64IntegerAttr(extent));
    return b.getArrayAttr(extents);
  };
  for (auto [i, type] : llvm::enumerate(types))
    function.setArgAttr(i, kDimsAttr, dims(type));
  function.setResultAttr(0, kDimsAttr, dims(op->getResult(0).getType()));

  b.setInsertionPointToStart(function.addEntryBlock());
  Value zero = arith::ConstantIndexOp::create(b, 0);
  Value tokens = tensor::DimOp::create(b, function.getArgument(0), zero);
  SmallVector<Value> operands(function.getArguments());
  operands.insert(operands.begin() + init.getOperandNumber(),
                  tensor::EmptyOp::create(b, init.get().getType(), tokens));
  Operation *product = b.clone(*op);
  product->setOperands(operands);
  func::ReturnOp::create(b, product->getResults());
  return module;
}

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

using Random = std::mt19937_64;

/// Random bits, of which each element keeps what `mask` says; `one` gives it an
/// exponent.
template <typename T>
static void fillFloats(std::byte *data, size_t bytes, T mask, T one,
                       Random &random) {
  uint64_t masks = 0, ones = 0;
  for (unsigned bit = 0; bit < 64; bit += 8 * sizeof(T)) {
    masks |= uint64_t(mask) << bit;
    ones |= uint64_t(one) << bit;
  }
  auto *words = reinterpret_cast<uint64_t *>(data);
  for (size_t i = 0; i < bytes / 8; ++i)
    words[i] = (random() & masks) | ones;
}

/// Numbers of either sign from 1/32 to 1/16, so that nothing overflows and
/// nothing becomes denormal, which is slow.
static void fillFloats(Type element, std::byte *data, size_t bytes,
                       Random &random) {
  if (element.isF32())
    fillFloats<uint32_t>(data, bytes, 0x807fffff, 0x3d000000, random);
  else if (element.isBF16())
    fillFloats<uint16_t>(data, bytes, 0x807f, 0x3d00, random);
  else
    fillFloats<uint16_t>(data, bytes, 0x83ff, 0x2800, random);
}

/// Panels of random integers or codes, with scales of 1/32.
static void fillPanels(PackFormat format, std::byte *data, size_t bytes,
                       int64_t panelBytes, Random &random) {
  fillFloats<uint8_t>(data, bytes, 0xff, 0, random);
  PanelGeometry panel = PanelGeometry::get(format);
  for (size_t at = 0; at < bytes; at += panelBytes) {
    std::byte *step = data + at;
    int64_t steps = (panelBytes - panel.tailBytes) / panel.getStepBytes();
    for (int64_t i = 0; i < steps; ++i, step += panel.getStepBytes()) {
      std::byte *scales = step + panel.elementBytes;
      if (format == PackFormat::Mxfp4)
        std::fill_n(scales, panel.scaleBytes, std::byte(127 - 5));
      else
        std::fill_n(reinterpret_cast<uint16_t *>(scales), panel.scaleBytes / 2,
                    0x2800);
    }
    std::fill_n(reinterpret_cast<float *>(step), panel.tailBytes / 4,
                1.0f / 32);
  }
}

/// For each token `topK` of the experts at random.
static void fillIndices(MutableArrayRef<int32_t> indices, int64_t topK,
                        int64_t experts, Random &random) {
  auto all = llvm::to_vector(llvm::seq<int32_t>(0, experts));
  for (size_t at = 0; at < indices.size(); at += topK)
    for (int64_t j = 0; j < topK; ++j) {
      std::swap(all[j], all[j + random() % (experts - j)]);
      indices[at + j] = all[j];
    }
}

/// The type with so many tokens.
static RankedTensorType withTokens(RankedTensorType type, int64_t tokens) {
  SmallVector<int64_t> shape(type.getShape());
  llvm::replace(shape, ShapedType::kDynamic, tokens);
  return type.clone(shape);
}

llvm::Expected<SyntheticLayer> SyntheticLayer::create(Operation *op,
                                                      int64_t maxTokens) {
  SyntheticLayer layer;
  int64_t experts = countExperts(op);
  layer.module = makeModule(op, experts);
  auto function = *layer.module->getOps<func::FuncOp>().begin();
  layer.module->walk([&](Operation *inner) {
    if (canTime(inner))
      layer.product = inner;
  });
  std::optional<PackFormat> format;
  int64_t topK = 1;
  if (auto ffn = dyn_cast<ExpertFfnOp>(op)) {
    layer.share = double(experts) / ffn.getNumExperts();
    format = ffn.getPacked();
    topK = cast<ShapedType>(ffn.getIdx().getType()).getDimSize(1);
  } else {
    format = cast<GroupedMatmulOp>(op).getPacked();
  }
  int64_t weightBytes = getWeightBytes(layer.product);

  Random random;
  auto add = [&](Type dynamic) {
    auto type = cast<RankedTensorType>(dynamic);
    auto largest = withTokens(type, maxTokens);
    int64_t bytes = llvm::alignTo(::getBytes(largest), 64);
    int64_t copies = 1;
    if (type.getElementType().isInteger(32))
      copies = kRoutings;
    else if (type.hasStaticShape())
      copies = llvm::divideCeil(kLeastBytes, weightBytes);
    std::optional<Memory> memory = Memory::allocate(bytes * copies);
    if (!memory)
      return false;
    std::byte *data = memory->data();
    for (int64_t i = 0; i < copies; ++i, data += bytes) {
      if (type.getElementType().isInteger(32))
        fillIndices({reinterpret_cast<int32_t *>(data),
                     size_t(largest.getNumElements())},
                    topK, experts, random);
      else if (type.getElementType().isInteger(8))
        fillPanels(*format, data, ::getBytes(largest), type.getShape().back(),
                   random);
      else
        fillFloats(type.getElementType(), data, bytes, random);
    }
    layer.arguments.push_back({type, std::move(*memory), bytes, copies, {}});
    return true;
  };
  for (Type type : llvm::concat<const Type>(function.getArgumentTypes(),
                                            function.getResultTypes()))
    if (!add(type))
      return llvm::createStringError("expected memory for a product of " +
                                     llvm::Twine(weightBytes >> 20) + " MiB");
  return layer;
}

moe_tensor SyntheticLayer::getTensor(Argument &argument, int64_t tokens) {
  RankedTensorType type = withTokens(argument.type, tokens);
  argument.shape.assign(type.getShape().begin(), type.getShape().end());
  std::string name;
  llvm::raw_string_ostream(name) << type.getElementType();
  std::byte *data =
      argument.memory.data() + calls % argument.copies * argument.bytes;
  return {::moe::runtime::dtypeNamed(name)->value, argument.shape.size(),
          argument.shape.data(), data};
}

ArrayRef<moe_tensor> SyntheticLayer::nextInputs(int64_t tokens) {
  ++calls;
  inputs.clear();
  for (Argument &argument : MutableArrayRef(arguments).drop_back())
    inputs.push_back(getTensor(argument, tokens));
  return inputs;
}

moe_tensor SyntheticLayer::getOutput(int64_t tokens) {
  return getTensor(arguments.back(), tokens);
}

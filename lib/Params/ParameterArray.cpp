//===- ParameterArray.cpp - Elements of a parameter -----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A chain of derivations ends in tensors of the checkpoint, whose elements are
// numbered through. All views of a chain together are one affine expression
// for that number, so that a row is read in one pass, whatever the chain.
//
//===----------------------------------------------------------------------===//

#include "moe/Params/ParameterArray.h"
#include "moe/IR/Packing.h"
#include "moe/Params/SmallFloats.h"

#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "llvm/ADT/Sequence.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Expressions
//===----------------------------------------------------------------------===//

static int64_t evaluate(AffineExpr expr, ArrayRef<int64_t> index) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return constant.getValue();
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return index[dim.getPosition()];
  auto binary = cast<AffineBinaryOpExpr>(expr);
  int64_t left = evaluate(binary.getLHS(), index);
  int64_t right = evaluate(binary.getRHS(), index);
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return left + right;
  case AffineExprKind::Mul:
    return left * right;
  case AffineExprKind::FloorDiv:
    return llvm::divideFloorSigned(left, right);
  case AffineExprKind::CeilDiv:
    return llvm::divideCeilSigned(left, right);
  case AffineExprKind::Mod:
    return llvm::mod(left, right);
  default:
    llvm_unreachable("expected an affine expression");
  }
}

/// By how much `expr` grows with the last of `rank` dimensions, if that does
/// not depend on the index.
static std::optional<int64_t> getLastStep(AffineExpr expr, int64_t rank) {
  if (rank == 0)
    return 0;
  AffineExpr last = getAffineDimExpr(rank - 1, expr.getContext());
  AffineExpr difference = expr.replace(last, last + 1) - expr;
  auto constant = dyn_cast<AffineConstantExpr>(
      simplifyAffineExpr(difference, rank, /*numSymbols=*/0));
  if (!constant)
    return std::nullopt;
  return constant.getValue();
}

//===----------------------------------------------------------------------===//
// Finding the tensors
//===----------------------------------------------------------------------===//

/// `name` with `{i}` replaced by the number that `index[i]` stands for.
static std::string substitute(StringRef name, ArrayRef<int64_t> index,
                              ArrayAttr numbers) {
  std::string result = name.str();
  for (auto [i, value] : llvm::enumerate(index)) {
    int64_t number = value;
    if (numbers)
      number = cast<IntegerAttr>(cast<ArrayAttr>(numbers[i])[value]).getInt();
    std::string placeholder = ("{" + Twine(i) + "}").str();
    result.replace(result.find(placeholder), placeholder.size(),
                   std::to_string(number));
  }
  return result;
}

ParameterArray::ParameterArray(RankedTensorType type, Encoding encoding,
                               Stack stack, std::vector<std::string> names,
                               Stack scales)
    : encoding(encoding), tensors(std::move(stack)), names(std::move(names)),
      scales(std::move(scales)),
      elementsPerTensor(tensors.empty()
                            ? 0
                            : type.getNumElements() / int64_t(tensors.size())) {
  AffineExpr rowMajor = getAffineConstantExpr(0, type.getContext());
  for (auto [dim, stride] :
       llvm::enumerate(computeSuffixProduct(type.getShape())))
    rowMajor = rowMajor + getAffineDimExpr(dim, type.getContext()) * stride;
  setOrder(type, rowMajor);
}

void ParameterArray::setOrder(RankedTensorType newType, AffineExpr newNumber) {
  type = newType;
  number = newNumber;
  step = getLastStep(number, type.getRank());
  strides = computeSuffixProduct(type.getShape());
}

FailureOr<ParameterArray> ParameterArray::findStack(ParameterOp parameter,
                                                    Checkpoint &checkpoint) {
  StringRef pattern = *parameter.getSource();
  RankedTensorType type = parameter.getTensorType();
  ArrayRef<int64_t> extents = type.getShape().take_front(pattern.count('{'));
  SmallVector<int64_t> strides = computeSuffixProduct(extents);
  std::vector<std::string> names;
  for (int64_t i : llvm::seq(computeProduct(extents)))
    names.push_back(substitute(pattern, delinearize(i, strides),
                               parameter.getIndicesAttr()));

  auto tensorType = RankedTensorType::get(
      type.getShape().drop_front(extents.size()), type.getElementType());
  Stack stack;
  for (StringRef name : names) {
    llvm::Expected<StringRef> bytes = checkpoint.read(name, tensorType);
    if (!bytes)
      return parameter.emitError(llvm::toString(bytes.takeError()));
    stack.push_back(*bytes);
  }
  return ParameterArray(type, Encoding::Plain, std::move(stack),
                        std::move(names));
}

FailureOr<ParameterArray> ParameterArray::find(ParameterOp parameter,
                                               Checkpoint &checkpoint) {
  if (parameter.getSource())
    return findStack(parameter, checkpoint);
  std::vector<ParameterArray> sources;
  for (FlatSymbolRefAttr name : parameter.getSourceNames()) {
    auto source =
        SymbolTable::lookupNearestSymbolFrom<ParameterOp>(parameter, name);
    FailureOr<ParameterArray> array = find(source, checkpoint);
    if (failed(array))
      return failure();
    sources.push_back(std::move(*array));
  }
  RankedTensorType type = parameter.getTensorType();
  if (parameter.getExpanded())
    return ParameterArray(type, Encoding::Mxfp4, std::move(sources[0].tensors),
                          std::move(sources[0].names),
                          std::move(sources[1].tensors));
  if (parameter.getScaled()) {
    ParameterArray array(type, Encoding::Fp8, std::move(sources[0].tensors),
                         std::move(sources[0].names),
                         std::move(sources[1].tensors));
    array.out = type.getShape().end()[-2];
    array.in = type.getShape().back();
    return array;
  }
  ParameterArray &viewed = sources.front();
  viewed.setOrder(type, viewed.number.compose(*parameter.getMap()));
  return std::move(viewed);
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

/// Copies every `step`-th element of `from`.
template <typename T>
static void copy(const char *from, int64_t step, int64_t count, char *out) {
  if (step == 1) {
    std::memcpy(out, from, count * sizeof(T));
    return;
  }
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(out + i * sizeof(T), from + i * step * int64_t(sizeof(T)),
                sizeof(T));
}

float ParameterArray::getScale(int64_t tensor, int64_t i) const {
  int64_t matrix = i / (out * in), row = i / in % out, column = i % in;
  int64_t rows = llvm::divideCeil(out, kScaleBlock);
  int64_t columns = llvm::divideCeil(in, kScaleBlock);
  int64_t block =
      (matrix * rows + row / kScaleBlock) * columns + column / kScaleBlock;
  float scale;
  std::memcpy(&scale, scales[tensor].data() + block * sizeof(scale),
              sizeof(scale));
  return scale;
}

void ParameterArray::gatherFp8(int64_t tensor, int64_t first, int64_t step,
                               int64_t count, char *to) const {
  bool isBF16 = type.getElementType().isBF16();
  while (count > 0) {
    // Neighbours share a scale up to the end of the block or the row.
    int64_t column = first % in;
    int64_t left = std::min(kScaleBlock - column % kScaleBlock, in - column);
    int64_t span = step == 1 ? std::min(count, left) : 1;
    float scale = getScale(tensor, first);
    for (int64_t i = 0; i < span; ++i) {
      float value = expandE4M3(tensors[tensor][first + i]) * scale;
      if (isBF16) {
        uint16_t rounded = roundToBF16(value);
        std::memcpy(to + i * sizeof(rounded), &rounded, sizeof(rounded));
      } else {
        std::memcpy(to + i * sizeof(value), &value, sizeof(value));
      }
    }
    to += span * (isBF16 ? sizeof(uint16_t) : sizeof(float));
    first += span * step;
    count -= span;
  }
}

void ParameterArray::gather(int64_t begin, int64_t step, int64_t count,
                            char *to) const {
  int64_t bytes = type.getElementTypeBitWidth() / 8;
  int64_t tensor = begin / elementsPerTensor;
  if ((begin + (count - 1) * step) / elementsPerTensor != tensor) {
    for (int64_t i = 0; i < count; ++i)
      gather(begin + i * step, step, /*count=*/1, to + i * bytes);
    return;
  }
  const char *data = tensors[tensor].data();
  int64_t first = begin % elementsPerTensor;
  switch (encoding) {
  case Encoding::Plain:
    switch (bytes) {
    case 1:
      return copy<uint8_t>(data + first, step, count, to);
    case 2:
      return copy<uint16_t>(data + 2 * first, step, count, to);
    default:
      return copy<uint32_t>(data + 4 * first, step, count, to);
    }
  case Encoding::Fp8:
    return gatherFp8(tensor, first, step, count, to);
  case Encoding::Mxfp4:
    for (int64_t i = 0; i < count; ++i) {
      int64_t at = first + i * step;
      uint8_t pair = data[at / 2], scale = scales[tensor][at / 32];
      uint16_t value = expandMxfp4(at % 2 == 0 ? pair & 15 : pair >> 4, scale);
      std::memcpy(to + i * sizeof(value), &value, sizeof(value));
    }
    return;
  }
}

StringRef ParameterArray::getTensorName(int64_t element) const {
  return names[evaluate(number, delinearize(element, strides)) /
               elementsPerTensor];
}

void ParameterArray::read(int64_t begin, int64_t count, char *out) const {
  int64_t rowLength = type.getRank() == 0 ? 1 : type.getShape().back();
  while (count > 0) {
    int64_t run = step ? std::min(count, rowLength - begin % rowLength) : 1;
    gather(evaluate(number, delinearize(begin, strides)), step.value_or(0), run,
           out);
    begin += run;
    count -= run;
    out += run * type.getElementTypeBitWidth() / 8;
  }
}

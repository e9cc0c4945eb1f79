//===- ParameterProgram.cpp - Makes a package's weights -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every tensor that the program reads is found and checked before the first
// byte is written. Then the parameters are made one after another, each in
// parallel: a stack tensor by tensor, a packed weight panel by panel.
//
//===----------------------------------------------------------------------===//

#include "moe/Params/ParameterProgram.h"
#include "moe/Params/Archive.h"
#include "moe/Params/Checkpoint.h"
#include "moe/Params/Pack.h"

#include "Runtime/Hash.h"

#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/Support/DebugStringHelper.h"
#include "llvm/ADT/Sequence.h"
#include "llvm/Support/Parallel.h"

using namespace mlir;
using namespace mlir::moe;

FailureOr<SmallVector<ParameterOp>>
mlir::moe::getParameterTable(ModuleOp module) {
  SmallVector<ParameterOp> table;
  auto list = module->getAttrOfType<ArrayAttr>(kParametersAttr);
  if (!list)
    return table;
  SymbolTable symbols(module);
  for (Attribute attr : list) {
    auto ref = dyn_cast<FlatSymbolRefAttr>(attr);
    auto parameter =
        ref ? symbols.lookup<ParameterOp>(ref.getValue()) : ParameterOp();
    if (!parameter)
      return module.emitError("expected '")
             << kParametersAttr << "' to name parameters, got " << attr;
    table.push_back(parameter);
  }
  return table;
}

/// The parameters that `parameter` packs; none if it is a stack.
static SmallVector<ParameterOp> getPackSources(ParameterOp parameter) {
  SmallVector<ParameterOp> sources;
  if (std::optional<ArrayAttr> symbols = parameter.getSources())
    for (auto symbol : symbols->getAsRange<FlatSymbolRefAttr>())
      sources.push_back(
          SymbolTable::lookupNearestSymbolFrom<ParameterOp>(parameter, symbol));
  return sources;
}

/// How a parameter is stored.
static ArchiveEntry describe(ParameterOp parameter) {
  ArchiveEntry entry{parameter.getSymName(), parameter.getTensorType(), ""};
  if (std::optional<ArrayAttr> sources = parameter.getSources())
    entry.layout = "pack of " + debugString(*sources);
  return entry;
}

namespace {
/// The tensors that a parameter stacks, in row-major order of its leading
/// extents; they have one size.
struct Stack {
  SmallVector<StringRef> tensors;

  /// The bytes at `offset` of the stacked array.
  const char *at(uint64_t offset) const {
    size_t bytes = tensors.front().size();
    return tensors[offset / bytes].data() + offset % bytes;
  }
};

/// A parameter of the table and what it is made from: its own tensors, or those
/// of the parameters that it packs.
struct Step {
  ParameterOp parameter;
  SmallVector<Stack> sources;
};
} // namespace

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

/// Finds the tensors that a parameter stacks.
static FailureOr<Stack> readStack(ParameterOp parameter,
                                  Checkpoint &checkpoint) {
  if (!parameter.getSource())
    return parameter.emitError("expected a parameter with a source in the "
                               "checkpoint");
  StringRef name = *parameter.getSource();
  RankedTensorType type = parameter.getTensorType();
  ArrayRef<int64_t> extents = type.getShape().take_front(name.count('{'));
  RankedTensorType tensorType =
      type.clone(type.getShape().drop_front(extents.size()));
  SmallVector<int64_t> strides = computeSuffixProduct(extents);

  Stack stack;
  for (int64_t i : llvm::seq(computeProduct(extents))) {
    std::string tensor =
        substitute(name, delinearize(i, strides), parameter.getIndicesAttr());
    llvm::Expected<StringRef> bytes = checkpoint.read(tensor, tensorType);
    if (!bytes)
      return parameter.emitError(llvm::toString(bytes.takeError()));
    stack.tensors.push_back(*bytes);
  }
  return stack;
}

/// Finds the tensors that a parameter of the table is made from.
static FailureOr<Step> resolve(ParameterOp parameter, Checkpoint &checkpoint) {
  SmallVector<ParameterOp> sources = getPackSources(parameter);
  if (sources.empty())
    sources.push_back(parameter);
  Step step{parameter, {}};
  for (ParameterOp source : sources) {
    FailureOr<Stack> stack = readStack(source, checkpoint);
    if (failed(stack))
      return failure();
    step.sources.push_back(std::move(*stack));
  }
  return step;
}

//===----------------------------------------------------------------------===//
// Making the parameters
//===----------------------------------------------------------------------===//

/// Copies the tensors of a stack.
static llvm::Error copyStack(const Stack &stack, const ArchiveWriter &archive,
                             size_t entry) {
  return llvm::parallelForEachError(
      llvm::seq(stack.tensors.size()), [&](size_t i) {
        StringRef tensor = stack.tensors[i];
        return archive.write(entry, i * tensor.size(), tensor);
      });
}

/// Packs the matrices of one stack, or of two interleaved.
static llvm::Error packStacks(const Step &step, const ArchiveWriter &archive,
                              size_t entry) {
  ParameterOp parameter = step.parameter;
  RankedTensorType source = getPackSources(parameter).front().getTensorType();
  RankedTensorType packed = parameter.getTensorType();
  if (packed.getNumElements() == 0)
    return llvm::Error::success();

  int64_t leading = source.getRank() - 2;
  int64_t out = source.getDimSize(leading);
  int64_t in = source.getDimSize(leading + 1);
  int64_t panels = packed.getDimSize(leading);
  int64_t matrices = computeProduct(source.getShape().take_front(leading));
  uint64_t matrixBytes = getNumBytes(source) / matrices;
  auto packPanel =
      packed.getElementType().isF32() ? packPanelF32 : packPanelBF16;

  return llvm::parallelForEachError(
      llvm::seq(matrices * panels), [&](int64_t i) {
        SmallVector<const char *> slices;
        for (const Stack &stack : step.sources)
          slices.push_back(stack.at(i / panels * matrixBytes));
        std::string panel = packPanel({slices, out, in}, i % panels);
        return archive.write(entry, i * panel.size(), panel);
      });
}

FailureOr<WeightsFile> mlir::moe::runParameterProgram(ModuleOp module,
                                                      StringRef checkpoint,
                                                      StringRef path) {
  FailureOr<SmallVector<ParameterOp>> table = getParameterTable(module);
  if (failed(table))
    return failure();
  // What is no fault of the IR has no location in it.
  auto fail = [&](llvm::Error error) {
    return emitError(UnknownLoc::get(module.getContext()),
                     llvm::toString(std::move(error)));
  };
  llvm::Expected<Checkpoint> tensors = Checkpoint::open(checkpoint);
  if (!tensors)
    return fail(tensors.takeError());

  SmallVector<Step> steps;
  SmallVector<ArchiveEntry> entries;
  for (ParameterOp parameter : *table) {
    FailureOr<Step> step = resolve(parameter, *tensors);
    if (failed(step))
      return failure();
    steps.push_back(std::move(*step));
    entries.push_back(describe(parameter));
  }
  auto model = module->getAttrOfType<DictionaryAttr>(kModelAttr);
  if (model && model.getAs<BoolAttr>("complete") ==
                   BoolAttr::get(model.getContext(), true))
    if (llvm::Error error = tensors->checkAllRead())
      return fail(std::move(error));

  llvm::Expected<ArchiveWriter> archive = ArchiveWriter::create(path, entries);
  if (!archive)
    return fail(archive.takeError());
  for (auto [i, step] : llvm::enumerate(steps))
    if (llvm::Error error = step.parameter.getSource()
                                ? copyStack(step.sources.front(), *archive, i)
                                : packStacks(step, *archive, i))
      return fail(std::move(error));
  if (llvm::Error error = archive->commit())
    return fail(std::move(error));
  return WeightsFile{archive->getSize(),
                     ::moe::runtime::hashBytes(archive->getHeader())};
}

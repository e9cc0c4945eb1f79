//===- ParameterProgram.cpp - Makes a package's weights -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every tensor that the program reads is found and checked before the first
// byte is written. Then the parameters are made one after another, each in
// parallel: a packed weight panel by panel, others in blocks of elements.
//
//===----------------------------------------------------------------------===//

#include "moe/Params/ParameterProgram.h"
#include "moe/Params/Archive.h"
#include "moe/Params/Checkpoint.h"
#include "moe/Params/Pack.h"
#include "moe/Params/ParameterArray.h"

#include "Runtime/Hash.h"

#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/Support/DebugStringHelper.h"
#include "llvm/ADT/Sequence.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
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

/// How a parameter is stored.
static ArchiveEntry describe(ParameterOp parameter) {
  ArchiveEntry entry{parameter.getSymName(), parameter.getTensorType(), ""};
  if (std::optional<ArrayAttr> packed = parameter.getPacked()) {
    std::optional<PackFormat> format = parameter.getFormat();
    entry.layout =
        (format ? "pack " + stringifyPackFormat(*format) + " of " : "pack of ")
            .str() +
        debugString(*packed);
  }
  return entry;
}

namespace {
/// A parameter of the table and what it is made from: itself, or the parameters
/// that it packs.
struct Step {
  ParameterOp parameter;
  std::vector<ParameterArray> sources;
};
} // namespace

/// Finds the tensors that a parameter of the table is made from.
static FailureOr<Step> resolve(ParameterOp parameter, Checkpoint &checkpoint) {
  SmallVector<ParameterOp> sources = {parameter};
  if (parameter.getPacked())
    sources = llvm::map_to_vector(
        parameter.getSourceNames(), [&](FlatSymbolRefAttr name) {
          return SymbolTable::lookupNearestSymbolFrom<ParameterOp>(parameter,
                                                                   name);
        });
  Step step{parameter, {}};
  for (ParameterOp source : sources) {
    FailureOr<ParameterArray> array = ParameterArray::find(source, checkpoint);
    if (failed(array))
      return failure();
    step.sources.push_back(std::move(*array));
  }
  return step;
}

//===----------------------------------------------------------------------===//
// Making the parameters
//===----------------------------------------------------------------------===//

/// Elements that are copied at a time.
static constexpr int64_t kBlock = 1 << 16;

/// Copies an array.
static llvm::Error copy(const ParameterArray &array,
                        const ArchiveWriter &archive, size_t entry) {
  int64_t count = array.getType().getNumElements();
  int64_t elementBytes = array.getType().getElementTypeBitWidth() / 8;
  return llvm::parallelForEachError(
      llvm::seq<int64_t>(llvm::divideCeil(count, kBlock)), [&](int64_t i) {
        int64_t begin = i * kBlock;
        std::string block(std::min(kBlock, count - begin) * elementBytes, '\0');
        array.read(begin, block.size() / elementBytes, block.data());
        return archive.write(entry, begin * elementBytes, block);
      });
}

namespace {
/// What packing panels resulted in: how far they are from their sources, or the
/// first error.
struct PackResult {
  Deviation deviation;
  std::string error;

  PackResult &add(const PackResult &next) {
    deviation.add(next.deviation);
    if (error.empty())
      error = next.error;
    return *this;
  }
};
} // namespace

static std::string describeUnfit(const ParameterArray &source, int64_t element,
                                 PackFormat format, const UnfitElement &unfit) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << "tensor '" << source.getTensorName(element) << "': expected ";
  float limit = getLimit(format);
  if (std::isinf(limit))
    os << "finite elements";
  else
    os << "magnitudes below " << llvm::format("%g", limit);
  os << " to pack as " << stringifyPackFormat(format) << ", got "
     << llvm::format("%g", unfit.value) << " in row " << unfit.row
     << ", column " << unfit.column << " of a matrix";
  return text;
}

/// Packs the matrices of one array, or of two interleaved.
static PackResult pack(const Step &step, const ArchiveWriter &archive,
                       size_t entry) {
  RankedTensorType source = step.sources.front().getType();
  ParameterOp parameter = step.parameter;
  RankedTensorType packed = parameter.getTensorType();
  if (packed.getNumElements() == 0)
    return {};

  PackFormat format = parameter.getPackFormat();
  PackFormat own = getOwnFormat(source.getElementType());
  int64_t leading = source.getRank() - 2;
  int64_t out = source.getDimSize(leading);
  int64_t in = source.getDimSize(leading + 1);
  int64_t panels = packed.getDimSize(leading);
  int64_t matrices = computeProduct(source.getShape().take_front(leading));
  int64_t rowBytes = in * source.getElementTypeBitWidth() / 8;

  auto packOne = [&](int64_t i) -> PackResult {
    int64_t matrix = i / panels;
    std::string buffer(rowBytes, '\0');
    auto getRow = [&](int64_t number, int64_t row) {
      step.sources[number].read((matrix * out + row) * in, in, buffer.data());
      return buffer.data();
    };
    int64_t number = step.sources.size();
    PackedPanel panel =
        packPanel(format, {number, out, in, own, getRow}, i % panels);
    if (panel.unfit) {
      int64_t element =
          (matrix * out + panel.unfit->row) * in + panel.unfit->column;
      return {{},
              describeUnfit(step.sources[panel.unfit->source], element, format,
                            *panel.unfit)};
    }
    llvm::Error error =
        archive.write(entry, i * panel.bytes.size(), panel.bytes);
    return {panel.deviation, llvm::toString(std::move(error))};
  };
  return llvm::parallelTransformReduce(
      llvm::seq(matrices * panels), PackResult(),
      [](PackResult a, const PackResult &b) { return a.add(b); }, packOne);
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

  std::vector<Step> steps;
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
  std::vector<Deviation> deviations;
  for (auto [i, step] : llvm::enumerate(steps)) {
    PackResult result;
    if (step.parameter.getPacked())
      result = pack(step, *archive, i);
    else
      result.error = llvm::toString(copy(step.sources.front(), *archive, i));
    if (!result.error.empty())
      return step.parameter.emitError(result.error);
    if (result.deviation.squares > 0)
      step.parameter.emitRemark("packed as ")
          << stringifyPackFormat(step.parameter.getPackFormat())
          << llvm::formatv(": root mean square error {0:e2}, largest {1:e2}",
                           result.deviation.getRms(), result.deviation.largest)
                 .str();
    deviations.push_back(result.deviation);
  }
  if (llvm::Error error = archive->commit())
    return fail(std::move(error));
  return WeightsFile{archive->getSize(),
                     ::moe::runtime::hashBytes(archive->getHeader()),
                     std::move(deviations)};
}

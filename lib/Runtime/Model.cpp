//===- Model.cpp - An opened package --------------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/Model.h"
#include "Runtime/DType.h"
#include "Runtime/Hash.h"

#include <algorithm>
#include <unordered_map>

using namespace moe::runtime;

Expected<std::unique_ptr<Model>> Model::open(const std::string &folder,
                                             const moe_open_options &options) {
  if (options.weights != MOE_WEIGHTS_COPY && options.weights != MOE_WEIGHTS_MAP)
    return invalidArgument("weights: expected MOE_WEIGHTS_COPY or "
                           "MOE_WEIGHTS_MAP, got ",
                           int(options.weights));
  std::string path = folder + "/manifest.json";
  auto text = MappedFile::open(path);
  if (!text)
    return text.error();
  auto manifest = parseManifest(text->bytes(), path);
  if (!manifest)
    return manifest.error();
  auto module = Module::load(folder, *manifest, options.isa);
  if (!module)
    return module.error();

  std::unique_ptr<Model> model(
      new Model(std::move(*manifest), std::move(*module)));
  if (auto error = model->bindParameters(folder, options.weights))
    return *std::move(error);
  if (auto error = model->findEntries(path))
    return *std::move(error);
  model->makeViews();
  return model;
}

/// Bytes that a parameter takes in the archive, where each is padded so that
/// the next one is aligned.
static uint64_t paddedBytes(const Parameter &parameter) {
  uint64_t bytes = *arrayBytes(parameter.dtype, parameter.shape.data(),
                               parameter.shape.size());
  return (bytes + MOE_ALIGNMENT - 1) / MOE_ALIGNMENT * MOE_ALIGNMENT;
}

std::optional<Error> Model::bindParameters(const std::string &folder,
                                           moe_weights mode) {
  const std::optional<FileRecord> &record = contents.weights;
  if (!record) {
    if (contents.parameters.empty())
      return std::nullopt;
    return invalidPackage(folder, ": expected weights for ",
                          contents.parameters.size(),
                          " parameters, got a package of shapes only");
  }
  std::string path = folder + "/" + record->file;
  auto archive = SafeTensors::open(path);
  if (!archive)
    return archive.error();
  if (archive->size() != record->bytes)
    return invalidPackage(path, ": expected ", record->bytes, " bytes, got ",
                          archive->size());
  if (std::string hash = hashBytes(archive->headerBytes());
      hash != record->hash)
    return invalidPackage(path, ": expected a header with hash ", record->hash,
                          ", got ", hash);

  std::unordered_map<std::string_view, const ArchiveTensor *> tensors;
  for (const ArchiveTensor &tensor : archive->tensors())
    tensors.emplace(tensor.name, &tensor);
  for (const Parameter &parameter : contents.parameters) {
    auto it = tensors.find(parameter.name);
    if (it == tensors.end())
      return invalidPackage(path, ": expected a tensor '", parameter.name, "'");
    std::string_view data = it->second->data;
    tensors.erase(it);
    uint64_t bytes = paddedBytes(parameter);
    if (data.size() != bytes)
      return invalidPackage(path, ": tensor '", parameter.name, "': expected ",
                            bytes, " bytes, got ", data.size());
    if (reinterpret_cast<uintptr_t>(data.data()) % MOE_ALIGNMENT != 0)
      return invalidPackage(path, ": tensor '", parameter.name,
                            "': expected a multiple of ", MOE_ALIGNMENT,
                            " as its offset in the file");
    addresses.push_back(data.data());
  }
  if (!tensors.empty())
    return invalidPackage(path, ": tensor '", tensors.begin()->first,
                          "': expected a parameter of the manifest");
  if (mode == MOE_WEIGHTS_MAP) {
    weights = std::move(*archive);
    return std::nullopt;
  }
  auto copy = readFile(path, archive->size());
  if (!copy)
    return copy.error();
  const char *file = archive->headerBytes().data();
  for (const void *&address : addresses)
    address = copy->data() + (static_cast<const char *>(address) - file);
  weights = std::move(*copy);
  return std::nullopt;
}

namespace {

/// A vector of i32 that an entry of a language model takes.
struct EntryInput {
  const char *name;
  const char *symbol;
  int64_t plus;
};

/// An entry of a language model.
struct Entry {
  const char *name;
  std::vector<EntryInput> inputs;
  size_t numOutputs;
  /// The same for people.
  const char *signature;
};

} // namespace

/// The index of an entry among the functions, if there is one.
static Expected<std::optional<size_t>>
findEntry(const Entry &entry, const std::vector<Function> &functions,
          const std::string &where) {
  auto it = std::find_if(
      functions.begin(), functions.end(),
      [&](const Function &function) { return function.name == entry.name; });
  if (it == functions.end())
    return std::optional<size_t>();
  auto matches = [&](const Argument &argument, const EntryInput &input) {
    return argument.kind == MOE_INPUT && argument.name == input.name &&
           argument.dtype == MOE_I32 && argument.shape.size() == 1 &&
           argument.shape[0].symbol >= 0 &&
           it->symbols[argument.shape[0].symbol] == input.symbol &&
           argument.shape[0].value == input.plus;
  };
  bool valid = it->count(MOE_INPUT) == entry.inputs.size() &&
               it->count(MOE_OUTPUT) == entry.numOutputs;
  for (size_t i = 0; valid && i < entry.inputs.size(); ++i)
    valid = matches(it->arguments[i], entry.inputs[i]);
  if (!valid)
    return invalidPackage(where, ": function '", entry.name, "': expected ",
                          entry.signature);
  return std::optional<size_t>(it - functions.begin());
}

std::optional<Error> Model::findEntries(const std::string &where) {
  if (contents.model.vocab == 0)
    return std::nullopt;
  const EntryInput tokens{"tokens", "N", 0}, cu{"cu", "B", 1},
      past{"past", "B", 0}, slot{"slot", "B", 0}, rows{"rows", "R", 0};
  auto forward = findEntry({"forward",
                            {tokens, cu, past, slot, rows},
                            1,
                            "the inputs i32 tokens[N], cu[B+1], past[B], "
                            "slot[B], rows[R] and one output"},
                           contents.functions, where);
  if (!forward)
    return forward.error();
  auto encode = findEntry({"encode",
                           {tokens, cu, slot},
                           0,
                           "the inputs i32 tokens[N], cu[B+1], slot[B] and no "
                           "output"},
                          contents.functions, where);
  if (!encode)
    return encode.error();
  forwardIndex = *forward;
  encodeIndex = *encode;
  return std::nullopt;
}

void Model::makeViews() {
  const ModelRecord &model = contents.model;
  infoView = {contents.compiler.c_str(),
              contents.compute.c_str(),
              module.isa(),
              model.json.c_str(),
              model.vocab,
              model.maxLen,
              model.bos,
              model.eos.size(),
              model.eos.data(),
              model.tokenizer ? model.tokenizer->c_str() : nullptr};

  for (const Function &function : contents.functions) {
    std::vector<moe_argument> arguments;
    for (const Argument &argument : function.arguments) {
      std::vector<moe_extent> shape;
      for (const Extent &extent : argument.shape)
        shape.push_back({extent.symbol < 0
                             ? nullptr
                             : function.symbols[extent.symbol].c_str(),
                         extent.value});
      arguments.push_back({argument.name.c_str(), argument.kind, argument.dtype,
                           shape.size(), shape.data()});
      extentViews.push_back(std::move(shape)); // Keeps its data in place.
    }
    functionViews.push_back({function.name.c_str(), function.count(MOE_INPUT),
                             function.count(MOE_OUTPUT), arguments.size(),
                             arguments.data()});
    argumentViews.push_back(std::move(arguments));
  }

  for (size_t i = 0; i < contents.parameters.size(); ++i) {
    const Parameter &parameter = contents.parameters[i];
    parameterViews.push_back({parameter.name.c_str(), parameter.dtype,
                              parameter.shape.size(), parameter.shape.data(),
                              addresses[i]});
  }
}

std::optional<size_t> Model::indexOf(const moe_function *function) const {
  for (size_t i = 0; i < functionViews.size(); ++i)
    if (function == &functionViews[i])
      return i;
  return std::nullopt;
}

//===- Manifest.cpp - What a package says of itself -----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/Manifest.h"
#include "Runtime/DType.h"
#include "Runtime/Json.h"

#include <algorithm>
#include <charconv>
#include <set>

using namespace moe::runtime;

int Function::internSymbol(std::string_view symbol) {
  auto it = std::find(symbols.begin(), symbols.end(), symbol);
  if (it == symbols.end())
    it = symbols.emplace(it, symbol);
  return it - symbols.begin();
}

size_t Function::count(moe_kind kind) const {
  return std::count_if(
      arguments.begin(), arguments.end(),
      [&](const Argument &argument) { return argument.kind == kind; });
}

static FileRecord readFile(const JsonValue &json, const char *hash) {
  FileRecord record{json["file"].string(), json["bytes"].integer(0),
                    json[hash].string()};
  if (record.file.empty() || record.file.find('/') != std::string::npos)
    json["file"].expected("a file name without a folder");
  return record;
}

static moe_dtype readDType(const JsonValue &json) {
  const DType *type = dtypeNamed(json.string());
  if (!type)
    json.expected("a known type");
  return type ? type->value : MOE_F32;
}

static moe_kind readKind(const JsonValue &json) {
  std::string kind = json.string();
  if (kind == "state")
    return MOE_STATE;
  if (kind == "output")
    return MOE_OUTPUT;
  if (kind != "input")
    json.expected("input, state or output");
  return MOE_INPUT;
}

/// Reads `7`, `"T"` or `"B+1"`.
static Extent readExtent(const JsonValue &json, Function &function) {
  Extent extent;
  if (!json.isString()) {
    extent.value = json.integer(/*least=*/0);
    return extent;
  }
  std::string text = json.string();
  std::string_view symbol = text, constant = "0";
  if (size_t plus = text.find('+'); plus != std::string::npos) {
    symbol = std::string_view(text).substr(0, plus);
    constant = std::string_view(text).substr(plus + 1);
  }
  const char *end = constant.data() + constant.size();
  uint16_t value = 0;
  auto [parsed, code] = std::from_chars(constant.data(), end, value);
  if (symbol.empty() || code != std::errc() || parsed != end)
    json.expected("a symbol, perhaps plus a small constant");
  extent.value = value;
  extent.symbol = function.internSymbol(symbol);
  return extent;
}

static Function readFunction(const JsonValue &json) {
  Function function;
  function.name = json["name"].string();
  for (const JsonValue &value : json["arguments"].elements()) {
    Argument argument{value["name"].string(),
                      readKind(value["kind"]),
                      readDType(value["dtype"]),
                      {}};
    for (const JsonValue &extent : value["shape"].elements())
      argument.shape.push_back(readExtent(extent, function));
    if (argument.shape.size() > MOE_MAX_RANK)
      value["shape"].expected("a supported rank");
    if (argument.kind != MOE_OUTPUT && !function.arguments.empty() &&
        function.arguments.back().kind == MOE_OUTPUT)
      value["kind"].expected("outputs after all inputs and states");
    function.arguments.push_back(std::move(argument));
  }
  if (function.arguments.size() > MOE_MAX_ARGUMENTS)
    json["arguments"].expected("a supported number of arguments");
  if (function.symbols.size() > MOE_MAX_SYMBOLS)
    json["arguments"].expected("a supported number of symbols");
  return function;
}

static Parameter readParameter(const JsonValue &json) {
  Parameter parameter{json["name"].string(), readDType(json["dtype"]), {}};
  for (const JsonValue &extent : json["shape"].elements())
    parameter.shape.push_back(extent.integer(/*least=*/0));
  if (!arrayBytes(parameter.dtype, parameter.shape.data(),
                  parameter.shape.size()))
    json["shape"].expected("a shape of less than 2^63 bytes");
  return parameter;
}

/// Reads what a language model has; a plain program has no "model", and a
/// program of another sort may lack any of it.
static ModelRecord readModel(const JsonValue &json) {
  ModelRecord model;
  if (json.isNull())
    return model;
  model.json = json.get().dump();
  auto given = [&](const char *key) {
    return json.get().contains(key) && !json[key].isNull();
  };
  if (given("vocab"))
    model.vocab = json["vocab"].integer(0);
  if (given("max_len"))
    model.maxLen = json["max_len"].integer(0);
  if (given("bos"))
    model.bos = json["bos"].integer(0);
  if (given("eos"))
    for (const JsonValue &id : json["eos"].elements())
      model.eos.push_back(id.integer(0));
  if (given("tokenizer"))
    model.tokenizer = json["tokenizer"].string();
  return model;
}

/// Checks that names are unique within `items`, which messages call `what`.
template <typename T>
static std::optional<Error> checkUnique(const std::vector<T> &items,
                                        const char *what,
                                        const std::string &where) {
  std::set<std::string_view> names;
  for (const T &item : items)
    if (!names.insert(item.name).second)
      return invalidPackage(where, ": duplicate ", what, " '", item.name, "'");
  return std::nullopt;
}

/// Checks that the inputs and the state bind every symbol of `function`.
static std::optional<Error> checkSymbols(const Function &function,
                                         const std::string &where) {
  std::set<int> bound = {-1, Function::kSlots, Function::kMaxLen};
  for (const Argument &argument : function.arguments)
    if (argument.kind == MOE_INPUT)
      for (const Extent &extent : argument.shape)
        bound.insert(extent.symbol);
  for (const Argument &argument : function.arguments)
    for (const Extent &extent : argument.shape) {
      bool isState = extent.symbol < Function::kFirstFree;
      if (!bound.count(extent.symbol) ||
          (argument.kind == MOE_STATE && !isState))
        return invalidPackage(where, ": function '", function.name,
                              "': argument '", argument.name,
                              "': expected an extent that is bound, got '",
                              function.symbols[extent.symbol], "'");
    }
  return std::nullopt;
}

Expected<Manifest> moe::runtime::parseManifest(std::string_view text,
                                               const std::string &where) {
  auto json = parseJsonObject(text, where);
  if (!json)
    return json.error();
  std::optional<Error> error;
  JsonValue root(*json, where, error);
  constexpr int64_t kFormat = 1;
  if (int64_t format = root["format"].integer(0); !error && format != kFormat)
    return invalidPackage(where, ": expected format ", kFormat, ", got ",
                          format);

  Manifest manifest;
  manifest.compiler = root["compiler"]["name"].string() + " " +
                      root["compiler"]["version"].string();
  manifest.compute = root["compute"].string();
  manifest.triple = root["target"]["triple"].string();
  manifest.module = readFile(root["module"], "hash");
  manifest.buildId = root["module"]["build_id"].string();
  if (JsonValue weights = root["weights"]; !weights.isNull())
    manifest.weights = readFile(weights, "header_hash");
  manifest.model = readModel(root["model"]);
  for (const JsonValue &function : root["functions"].elements())
    manifest.functions.push_back(readFunction(function));
  for (const JsonValue &parameter : root["parameters"].elements())
    manifest.parameters.push_back(readParameter(parameter));
  for (const JsonValue &stage : root["stages"].elements())
    manifest.stages.push_back(stage.string());
  if (error)
    return *std::move(error);

  if ((error = checkUnique(manifest.functions, "function", where)) ||
      (error = checkUnique(manifest.parameters, "parameter", where)))
    return *std::move(error);
  for (const Function &function : manifest.functions)
    if ((error = checkSymbols(function, where)) ||
        (error = checkUnique(function.arguments, "argument",
                             where + ": function '" + function.name + "'")))
      return *std::move(error);
  return manifest;
}

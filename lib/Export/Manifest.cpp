//===- Manifest.cpp - What a package says of itself -----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Manifest.h"
#include "moe/Params/Archive.h"

#include "mlir/Support/DebugStringHelper.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace mlir::moe;
namespace json = llvm::json;

/// Version of the manifest's format.
static constexpr int64_t kFormat = 1;

/// Converts an attribute that has a counterpart in JSON; a unit is null.
static llvm::Expected<json::Value> toJson(Attribute attr) {
  if (auto value = dyn_cast<BoolAttr>(attr))
    return value.getValue();
  if (auto value = dyn_cast<IntegerAttr>(attr))
    return value.getValue().getSExtValue();
  if (auto value = dyn_cast<FloatAttr>(attr);
      value && value.getValue().isFinite())
    return value.getValueAsDouble();
  if (auto value = dyn_cast<StringAttr>(attr))
    return value.getValue();
  if (isa<UnitAttr>(attr))
    return nullptr;
  if (auto elements = dyn_cast<ArrayAttr>(attr)) {
    json::Array array;
    for (Attribute element : elements) {
      llvm::Expected<json::Value> value = toJson(element);
      if (!value)
        return value.takeError();
      array.push_back(std::move(*value));
    }
    return array;
  }
  if (auto members = dyn_cast<DictionaryAttr>(attr)) {
    json::Object object;
    for (NamedAttribute member : members) {
      llvm::Expected<json::Value> value = toJson(member.getValue());
      if (!value)
        return value.takeError();
      object[member.getName().getValue()] = std::move(*value);
    }
    return object;
  }
  return llvm::createStringError("expected '" + kModelAttr +
                                 "' to hold what JSON can express, got " +
                                 debugString(attr));
}

/// Writes a file's record as an object; `hash` names its member for the hash.
static void writeFile(json::OStream &json, const FileRecord &record,
                      StringRef hash) {
  json.attribute("file", record.file);
  json.attribute("bytes", int64_t(record.bytes));
  json.attribute(hash, record.hash);
}

static void writeLevel(json::OStream &json, const Level &level) {
  json.object([&] {
    json.attribute("isa", level.isa);
    json.attribute("features", json::Array(level.features));
  });
}

static void writeFunction(json::OStream &json, const Function &function) {
  json.object([&] {
    json.attribute("name", function.name);
    json.attributeArray("arguments", [&] {
      for (const Argument &argument : function.arguments)
        json.object([&] {
          json.attribute("name", argument.name);
          json.attribute("kind", argument.kind);
          json.attribute("dtype", argument.dtype);
          json.attributeArray("shape", [&] {
            for (Attribute extent : argument.shape)
              json.value(llvm::cantFail(toJson(extent)));
          });
        });
    });
  });
}

/// Writes a measured error with as many digits as mean something.
static void writeError(json::OStream &json, StringRef name, double error) {
  json.attributeBegin(name);
  json.rawValue(llvm::formatv("{0:e3}", error).str());
  json.attributeEnd();
}

/// Writes a parameter, and how far it is from its sources if it differs.
static void writeParameter(json::OStream &json, ParameterOp parameter,
                           const Deviation &deviation) {
  RankedTensorType type = parameter.getTensorType();
  json.object([&] {
    json.attribute("name", parameter.getSymName());
    json.attribute("dtype", getDTypeName(type.getElementType()));
    json.attribute("shape", json::Array(type.getShape()));
    if (parameter.getPacked())
      json.attribute("format", stringifyPackFormat(parameter.getPackFormat()));
    if (deviation.squares > 0)
      json.attributeObject("error", [&] {
        writeError(json, "largest", deviation.largest);
        writeError(json, "rms", deviation.getRms());
      });
  });
}

llvm::Expected<std::string>
mlir::moe::makeManifest(const ModuleInterface &interface,
                        const PackageContents &contents) {
  json::Value model = nullptr;
  if (interface.model) {
    llvm::Expected<json::Value> converted = toJson(interface.model);
    if (!converted)
      return converted.takeError();
    model = std::move(*converted);
  }

  std::string text;
  llvm::raw_string_ostream os(text);
  json::OStream json(os, /*IndentSize=*/2);
  json.object([&] {
    json.attribute("format", kFormat);
    json.attributeObject("compiler", [&] {
      json.attribute("name", "moe-mlir");
      json.attribute("version", MOE_VERSION);
    });
    json.attribute("compute", interface.compute);
    json.attributeObject("module", [&] {
      writeFile(json, contents.module, "hash");
      json.attribute("build_id", contents.buildId);
    });
    if (contents.weights)
      json.attributeObject("weights", [&] {
        writeFile(json, *contents.weights, "header_hash");
      });
    else
      json.attribute("weights", nullptr);
    json.attributeObject("target", [&] {
      json.attribute("triple", interface.triple);
      json.attributeArray("levels", [&] {
        for (const Level &level : interface.levels)
          writeLevel(json, level);
      });
    });
    json.attributeArray("sources", [&] {
      for (const FileRecord &source : contents.sources)
        json.object([&] {
          json.attribute("file", source.file);
          json.attribute("hash", source.hash);
        });
    });
    json.attribute("model", model);
    json.attributeArray("functions", [&] {
      for (const Function &function : interface.functions)
        writeFunction(json, function);
    });
    json.attributeArray("parameters", [&] {
      for (auto [i, parameter] : llvm::enumerate(interface.parameters))
        writeParameter(json, parameter,
                       contents.weights ? contents.deviations[i] : Deviation());
    });
    json.attribute("stages", json::Array(interface.stages));
  });
  os << '\n';
  return text;
}

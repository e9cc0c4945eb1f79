//===- TargetFile.cpp - Targets in files ----------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TargetFile.h"

#include "mlir/Dialect/DLTI/DLTI.h"
#include "mlir/IR/Builders.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace mlir;
using namespace mlir::moe;
namespace json = llvm::json;

//===----------------------------------------------------------------------===//
// Reading: the attribute's reader checks names and numbers
//===----------------------------------------------------------------------===//

using Entries = SmallVector<DataLayoutEntryInterface>;

static DataLayoutEntryInterface makeEntry(MLIRContext *context, StringRef name,
                                          Attribute value) {
  return DataLayoutEntryAttr::get(StringAttr::get(context, name), value);
}

static Attribute toAttribute(MLIRContext *context, const json::Value &value) {
  Builder b(context);
  if (std::optional<int64_t> number = value.getAsInteger())
    return b.getI64IntegerAttr(*number);
  if (const json::Object *object = value.getAsObject()) {
    Entries entries;
    for (const auto &[name, member] : *object)
      entries.push_back(makeEntry(context, name, toAttribute(context, member)));
    return MapAttr::get(context, entries);
  }
  return b.getStringAttr(llvm::formatv("{0}", value).str());
}

FailureOr<Target> mlir::moe::readTarget(StringRef path, MLIRContext *context) {
  context->loadDialect<DLTIDialect>();
  auto fail = [&]() -> InFlightDiagnostic {
    return emitError(UnknownLoc::get(context)) << "'" << path << "': ";
  };
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!buffer)
    return fail() << buffer.getError().message();
  llvm::Expected<json::Value> file = json::parse((*buffer)->getBuffer());
  if (!file)
    return fail() << "expected JSON, got " << llvm::toString(file.takeError());
  const json::Object *members = file->getAsObject();
  if (!members)
    return fail() << "expected an object with a machine and kernels";
  Entries entries;
  for (const auto &[name, member] : *members) {
    if (name == "measured")
      continue;
    Attribute value = toAttribute(context, member);
    if (name == "kernels")
      entries.push_back(makeEntry(context, name, value));
    else if (auto machine = dyn_cast<MapAttr>(value);
             machine && name == "machine")
      llvm::append_range(entries, machine.getEntries());
    else
      return fail() << "expected objects machine, kernels and measured, got "
                    << StringRef(name) << ": "
                    << llvm::formatv("{0}", member).str();
  }
  Attribute device = TargetDeviceSpecAttr::get(context, entries);
  return Target::get(
      TargetSystemSpecAttr::get(context, makeEntry(context, "CPU", device)),
      fail);
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

template <typename T>
static json::Object toJson(const T &object, ArrayRef<TargetMember<T>> members) {
  json::Object result;
  for (const TargetMember<T> &member : members)
    if (int64_t value = object.*(member.value))
      result[member.name] = value;
  return result;
}

std::string mlir::moe::printTarget(const Target &target, json::Value measured) {
  json::Object kernels;
  for (const auto &[name, choices] : target.kernels)
    kernels[name] = toJson<KernelChoices>(choices, kKernelMembers);
  json::Object file{
      {"machine", toJson<Machine>(target.machine, kMachineMembers)},
      {"kernels", std::move(kernels)},
      {"measured", std::move(measured)}};
  return llvm::formatv("{0:2}", json::Value(std::move(file))).str() + "\n";
}

//===- Target.cpp - The machine that code is made for ---------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/CPU/Target.h"

#include "Levels.h"

#include "mlir/Dialect/DLTI/DLTI.h"

using namespace mlir;
using namespace mlir::moe;

static constexpr StringLiteral kDevice = "CPU", kKernels = "kernels";

using EmitError = function_ref<InFlightDiagnostic()>;
using Entries = ArrayRef<DataLayoutEntryInterface>;

static StringRef nameOf(DataLayoutEntryInterface entry) {
  auto name = dyn_cast<StringAttr>(entry.getKey());
  return name ? name.getValue() : "a type";
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

/// Sets the member of `object` that `entry` names.
template <typename T>
static LogicalResult read(T &object, ArrayRef<TargetMember<T>> members,
                          DataLayoutEntryInterface entry, EmitError emitError) {
  StringRef name = nameOf(entry);
  const auto *member = llvm::find_if(
      members, [&](const auto &known) { return known.name == name; });
  if (member == members.end()) {
    InFlightDiagnostic error = emitError() << "expected one of ";
    llvm::interleaveComma(members, error,
                          [&](const auto &known) { error << known.name; });
    return error << ", got " << name;
  }
  auto value = dyn_cast<IntegerAttr>(entry.getValue());
  if (value && value.getInt() > 0 && value.getInt() % member->multiple == 0) {
    object.*(member->value) = value.getInt();
    return success();
  }
  InFlightDiagnostic error = emitError() << "expected " << name << " to be a ";
  if (member->multiple > 1)
    error << "positive multiple of " << member->multiple;
  else
    error << "positive integer";
  error << ", got ";
  if (value)
    return error << value.getInt();
  return error << entry.getValue();
}

/// Whether there is such a kernel: `amx bf16*bf16`.
static bool isKernel(StringRef name) {
  auto [isa, types] = name.split(' ');
  auto [format, compute] = types.split('*');
  return lookUpLevel(isa) && symbolizePackFormat(format) &&
         symbolizeCompute(compute);
}

static FailureOr<KernelChoices> readKernel(DataLayoutEntryInterface entry,
                                           EmitError emitError) {
  if (!isKernel(nameOf(entry)))
    return emitError() << "expected a kernel as amx bf16*bf16, got "
                       << nameOf(entry);
  auto choices = dyn_cast<MapAttr>(entry.getValue());
  if (!choices)
    return emitError() << "expected a map of choices for kernel "
                       << nameOf(entry) << ", got " << entry.getValue();
  KernelChoices kernel;
  for (DataLayoutEntryInterface choice : choices.getEntries())
    if (failed(read<KernelChoices>(kernel, kKernelMembers, choice, emitError)))
      return failure();
  return kernel;
}

FailureOr<Target> Target::get(TargetSystemSpecInterface spec,
                              EmitError emitError) {
  Target target;
  auto device = spec.getDeviceSpecForDeviceID(
      StringAttr::get(spec.getContext(), kDevice));
  if (!device)
    return emitError() << "expected a device " << kDevice << ", got " << spec;
  for (DataLayoutEntryInterface entry : device->getEntries()) {
    if (nameOf(entry) != kKernels) {
      if (failed(
              read<Machine>(target.machine, kMachineMembers, entry, emitError)))
        return failure();
      continue;
    }
    auto kernels = dyn_cast<MapAttr>(entry.getValue());
    if (!kernels)
      return emitError() << "expected a map of kernels, got "
                         << entry.getValue();
    for (DataLayoutEntryInterface kernel : kernels.getEntries()) {
      FailureOr<KernelChoices> choices = readKernel(kernel, emitError);
      if (failed(choices))
        return failure();
      target.kernels[nameOf(kernel).str()] = *choices;
    }
  }
  return target;
}

FailureOr<Target> Target::get(Operation *op) {
  auto module = dyn_cast<ModuleOp>(op);
  if (!module)
    module = op->getParentOfType<ModuleOp>();
  auto spec = module ? module->getAttrOfType<TargetSystemSpecInterface>(
                           DLTIDialect::kTargetSystemDescAttrName)
                     : TargetSystemSpecInterface();
  if (!spec)
    return Target();
  return get(spec, [&] { return emitError(module.getLoc()); });
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static DataLayoutEntryInterface makeEntry(MLIRContext *context, StringRef name,
                                          Attribute value) {
  return DataLayoutEntryAttr::get(StringAttr::get(context, name), value);
}

/// The members that are not 0.
template <typename T>
static SmallVector<DataLayoutEntryInterface>
write(MLIRContext *context, const T &object,
      ArrayRef<TargetMember<T>> members) {
  Builder b(context);
  SmallVector<DataLayoutEntryInterface> entries;
  for (const TargetMember<T> &member : members)
    if (int64_t value = object.*(member.value))
      entries.push_back(
          makeEntry(context, member.name, b.getI64IntegerAttr(value)));
  return entries;
}

TargetSystemSpecInterface Target::toAttribute(MLIRContext *context) const {
  context->loadDialect<DLTIDialect>();
  auto entries = write<Machine>(context, machine, kMachineMembers);
  SmallVector<DataLayoutEntryInterface> maps;
  for (const auto &[name, choices] : kernels)
    maps.push_back(
        makeEntry(context, name,
                  MapAttr::get(context, write<KernelChoices>(context, choices,
                                                             kKernelMembers))));
  if (!maps.empty())
    entries.push_back(
        makeEntry(context, kKernels, MapAttr::get(context, maps)));
  auto device = TargetDeviceSpecAttr::get(context, entries);
  return TargetSystemSpecAttr::get(context,
                                   makeEntry(context, kDevice, device));
}

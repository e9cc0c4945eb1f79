//===- Module.cpp - The code of a package ---------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/Module.h"
#include "Runtime/CpuFeatures.h"
#include "Runtime/Hash.h"
#include "Runtime/MappedFile.h"

#include <algorithm>
#include <cstring>
#include <dlfcn.h>

using namespace moe::runtime;

/// Checks that the file at `path` is the one that `record` means.
static std::optional<Error> checkFile(const std::string &path,
                                      const FileRecord &record) {
  auto file = MappedFile::open(path);
  if (!file)
    return file.error();
  if (int64_t bytes = file->bytes().size(); bytes != record.bytes)
    return invalidPackage(path, ": expected ", record.bytes, " bytes, got ",
                          bytes);
  if (std::string hash = hashBytes(file->bytes()); hash != record.hash)
    return invalidPackage(path, ": expected hash ", record.hash, ", got ",
                          hash);
  return std::nullopt;
}

/// Chooses the level that `isa` names, or the last that the CPU executes.
static Expected<const moe_level *>
chooseLevel(const moe_module &info, const std::string &path, const char *isa) {
  CpuId cpu = CpuId::host();
  std::string names;
  for (int64_t i = info.num_levels; i-- > 0;) {
    const moe_level *level = &info.levels[i];
    names = names.empty() ? level->isa : level->isa + (", " + names);
    if (isa && strcmp(isa, level->isa) != 0)
      continue;
    std::string missing = missingFeatures(level->features, cpu);
    std::string reason = missing.empty()
                             ? requestFeatures(level->features)
                             : "features that this CPU lacks: " + missing;
    if (reason.empty())
      return level;
    if (isa || i == 0)
      return makeError(MOE_UNSUPPORTED_CPU, path, ": level ", level->isa,
                       " needs ", reason);
  }
  if (isa)
    return invalidArgument(path, ": expected one of the levels ", names,
                           ", got '", isa, "'");
  return invalidPackage(path, ": expected a level, got none");
}

/// The first part of triples of modules that this runtime can load.
#if defined(__x86_64__)
static constexpr std::string_view kArchitecture = "x86_64";
#else
static constexpr std::string_view kArchitecture = "aarch64";
#endif

Expected<Module> Module::load(const std::string &folder,
                              const Manifest &manifest, const char *isa) {
  std::string path = folder + "/" + manifest.module.file;
  if (manifest.triple.substr(0, manifest.triple.find('-')) != kArchitecture)
    return makeError(MOE_UNSUPPORTED_CPU, path, ": expected code for ",
                     kArchitecture, ", got ", manifest.triple);
  if (auto error = checkFile(path, manifest.module))
    return *std::move(error);

  Module module;
  module.handle.reset(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL));
  if (!module.handle)
    return invalidPackage(path, ": ", dlerror());

  auto *info = static_cast<const moe_module *>(
      dlsym(module.handle.get(), "moe_module_info"));
  if (!info)
    return invalidPackage(path, ": ", dlerror());
  if (info->abi != MOE_MODULE_ABI)
    return invalidPackage(path, ": expected module ABI ", MOE_MODULE_ABI,
                          ", got ", info->abi);
  if (info->build_id != manifest.buildId)
    return invalidPackage(path, ": expected build id ", manifest.buildId,
                          ", got ", info->build_id);
  auto level = chooseLevel(*info, path, isa);
  if (!level)
    return level.error();
  module.level = *level;

  for (const Function &function : manifest.functions) {
    const moe_entry *begin = module.level->entries;
    const moe_entry *end = begin + module.level->num_entries;
    const moe_entry *entry =
        std::find_if(begin, end, [&](const moe_entry &candidate) {
          return candidate.name == function.name;
        });
    if (entry == end)
      return invalidPackage(path, ": expected an entry for function '",
                            function.name, "'");
    module.table.push_back(entry);
  }
  return module;
}

void Module::Unload::operator()(void *handle) const { dlclose(handle); }

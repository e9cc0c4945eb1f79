//===- Module.h - The code of a package ----------------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_RUNTIME_MODULE_H
#define MOE_LIB_RUNTIME_MODULE_H

#include "Runtime/Manifest.h"
#include "moe-runtime/module_abi.h"

#include <memory>

namespace moe::runtime {

/// A loaded module.so, and the ISA level that runs.
class Module {
public:
  /// Loads the module of the package in `folder` after checking that it is the
  /// file that the manifest means, and chooses the level `isa`, or the best
  /// that this CPU executes when it is null.
  static Expected<Module> load(const std::string &folder,
                               const Manifest &manifest, const char *isa);

  const char *isa() const { return level->isa; }

  /// The entry of each function, in the order of the manifest.
  const std::vector<const moe_entry *> &entries() const { return table; }

private:
  struct Unload {
    void operator()(void *handle) const;
  };

  Module() = default;

  std::unique_ptr<void, Unload> handle;
  const moe_level *level = nullptr;
  std::vector<const moe_entry *> table;
};

} // namespace moe::runtime

#endif // MOE_LIB_RUNTIME_MODULE_H

//===- TestPackage.h - Packages for tests --------------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_UNITTESTS_RUNTIME_TESTPACKAGE_H
#define MOE_UNITTESTS_RUNTIME_TESTPACKAGE_H

#include "TestFiles.h"

#include <nlohmann/json.hpp>
#include <string>

namespace moe::test {

/// The package around FakeModule.c. Tests change a part and write it.
struct TestPackage {
  nlohmann::json manifest;
  std::string module;
  std::string weights;

  TestPackage();

  /// Makes the manifest state the sizes and hashes of the other parts.
  void seal();

  void write(const TemporaryFolder &folder) const;
};

} // namespace moe::test

#endif // MOE_UNITTESTS_RUNTIME_TESTPACKAGE_H

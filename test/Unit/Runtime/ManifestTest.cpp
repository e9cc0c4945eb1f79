//===- ManifestTest.cpp - Manifests, good and bad -------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/Manifest.h"
#include "Runtime/Hash.h"
#include "TestPackage.h"

#include <gtest/gtest.h>

using namespace moe::runtime;
using namespace moe::test;

/// The message with which the manifest of a good package, changed by a JSON
/// pointer, is refused; "" if it is not.
static std::string refusal(const char *pointer, const nlohmann::json &value) {
  TestPackage package;
  package.manifest[nlohmann::json::json_pointer(pointer)] = value;
  auto manifest = parseManifest(package.manifest.dump(), "m");
  return manifest ? "" : manifest.error().message;
}

TEST(Hash, IsCanonical) {
  // XXH3-128 of no bytes, from the reference implementation.
  EXPECT_EQ(hashBytes(""), "xxh3:99aa06d3014798d86001c324468d497f");
}

TEST(Manifest, ReadsFunctions) {
  auto manifest = parseManifest(TestPackage().manifest.dump(), "m");
  ASSERT_TRUE(manifest) << manifest.error().message;
  const Function &forward = manifest->functions[0];
  EXPECT_EQ(forward.count(MOE_INPUT), 5u);
  EXPECT_EQ(forward.count(MOE_STATE), 1u);
  EXPECT_EQ(forward.symbols,
            (std::vector<std::string>{"slots", "max_len", "N", "B", "R"}));
  EXPECT_EQ(forward.arguments[1].shape[0].symbol, 3);
  EXPECT_EQ(forward.arguments[1].shape[0].value, 1);
  EXPECT_EQ(forward.arguments[6].shape[1].symbol, -1);
  EXPECT_EQ(forward.arguments[6].shape[1].value, 7);
  EXPECT_EQ(manifest->model.vocab, 7);
  EXPECT_EQ(manifest->model.eos, std::vector<int64_t>{3});
}

TEST(Manifest, AcceptsPlainPrograms) {
  EXPECT_EQ(refusal("/model", nullptr), "");
  EXPECT_EQ(refusal("/weights", nullptr), "");
}

TEST(Manifest, RefusesWrongMembers) {
  EXPECT_EQ(refusal("/format", 2), "m: expected format 1, got 2");
  EXPECT_EQ(refusal("/format", "1"),
            "m: format: expected a non-negative integer, got \"1\"");
  EXPECT_EQ(refusal("/module", 5), "m: module: expected an object, got 5");
  EXPECT_EQ(refusal("/module/bytes", -1),
            "m: module.bytes: expected a non-negative integer, got -1");
  EXPECT_EQ(refusal("/module/file", "../module.so"),
            "m: module.file: expected a file name without a folder, got "
            "\"../module.so\"");
  EXPECT_EQ(refusal("/functions", nullptr),
            "m: functions: expected an array, got nothing");
  EXPECT_EQ(refusal("/parameters/0/dtype", "f31"),
            "m: parameters[0].dtype: expected a known type, got \"f31\"");
  EXPECT_EQ(refusal("/parameters/0/shape", {int64_t(1) << 62}),
            "m: parameters[0].shape: expected a shape of less than 2^63 bytes, "
            "got array");
}

TEST(Manifest, RefusesWrongArguments) {
  EXPECT_EQ(refusal("/functions/1/arguments/0/kind", "in"),
            "m: functions[1].arguments[0].kind: expected input, state or "
            "output, got \"in\"");
  EXPECT_EQ(refusal("/functions/0/arguments/1/shape/0", "B+x"),
            "m: functions[0].arguments[1].shape[0]: expected a symbol, perhaps "
            "plus a small constant, got \"B+x\"");
  EXPECT_EQ(refusal("/functions/0/arguments/6/kind", "input"), "");
  EXPECT_EQ(refusal("/functions/0/arguments/4/kind", "output"),
            "m: functions[0].arguments[5].kind: expected outputs after all "
            "inputs and states, got \"state\"");
  EXPECT_EQ(refusal("/functions/1/arguments/1/shape/0", "U"),
            "m: function 'block': argument 'y': expected an extent that is "
            "bound, got 'U'");
  EXPECT_EQ(refusal("/functions/0/arguments/5/shape/0", "N"),
            "m: function 'forward': argument 'cache': expected an extent that "
            "is bound, got 'N'");
  EXPECT_EQ(refusal("/functions/1/arguments/1/name", "x"),
            "m: function 'block': duplicate argument 'x'");
  EXPECT_EQ(refusal("/functions/1/name", "forward"),
            "m: duplicate function 'forward'");
  EXPECT_EQ(refusal("/functions/1/arguments/0/shape",
                    std::vector<int>(MOE_MAX_RANK + 1, 1)),
            "m: functions[1].arguments[0].shape: expected a supported rank, "
            "got array");
}

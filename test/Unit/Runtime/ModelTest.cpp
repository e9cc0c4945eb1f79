//===- ModelTest.cpp - Opening packages, good and bad ---------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestPackage.h"
#include "moe-runtime/moe.h"

#include <gtest/gtest.h>

using namespace moe::test;

/// The message with which `package` is refused, without the folder's name; ""
/// if it opens.
static std::string refusal(const TestPackage &package,
                           const char *isa = nullptr) {
  TemporaryFolder folder;
  package.write(folder);
  moe_open_options options{isa, MOE_WEIGHTS_MAP};
  moe_model *model = nullptr;
  if (moe_model_open(folder.path().c_str(), &options, &model) == MOE_OK) {
    moe_model_close(model);
    return "";
  }
  EXPECT_EQ(model, nullptr);
  std::string message = moe_error();
  EXPECT_EQ(message.rfind(folder.path(), 0), 0u) << message;
  message.erase(0, folder.path().size());
  return message;
}

TEST(Model, DescribesThePackage) {
  TemporaryFolder folder;
  TestPackage().write(folder);
  moe_model *model = nullptr;
  ASSERT_EQ(moe_model_open(folder.path().c_str(), nullptr, &model), MOE_OK)
      << moe_error();
  const moe_model_info *info = moe_model_describe(model);
  EXPECT_STREQ(info->isa, "v2"); // The best that exists.
  EXPECT_STREQ(info->compiler, "hand 0");
  EXPECT_EQ(info->vocab, 7);
  EXPECT_EQ(info->max_len, 16);
  EXPECT_EQ(info->bos, 1);
  ASSERT_EQ(info->num_eos, 1u);
  EXPECT_EQ(info->eos[0], 3);
  EXPECT_EQ(info->tokenizer, nullptr);
  EXPECT_EQ(nlohmann::json::parse(info->json)["vocab"], 7);

  ASSERT_EQ(moe_num_functions(model), 2u);
  EXPECT_EQ(moe_function_at(model, 2), nullptr);
  EXPECT_EQ(moe_find_function(model, "none"), nullptr);
  const moe_function *forward = moe_find_function(model, "forward");
  EXPECT_EQ(forward, moe_function_at(model, 0));
  EXPECT_EQ(forward->num_inputs, 5u);
  EXPECT_EQ(forward->num_outputs, 1u);
  ASSERT_EQ(forward->num_arguments, 7u);
  const moe_argument &cu = forward->arguments[1];
  EXPECT_STREQ(cu.name, "cu");
  EXPECT_EQ(cu.kind, MOE_INPUT);
  EXPECT_EQ(cu.dtype, MOE_I32);
  ASSERT_EQ(cu.rank, 1u);
  EXPECT_STREQ(cu.shape[0].symbol, "B");
  EXPECT_EQ(cu.shape[0].value, 1);
  EXPECT_EQ(forward->arguments[6].shape[1].symbol, nullptr);

  ASSERT_EQ(moe_num_parameters(model), 1u);
  const moe_parameter *shift = moe_parameter_at(model, 0);
  EXPECT_STREQ(shift->name, "shift");
  EXPECT_EQ(static_cast<const float *>(shift->data)[6], 5);
  EXPECT_EQ(moe_parameter_at(model, 1), nullptr);
  moe_model_close(model);
}

TEST(Model, RefusesOtherFiles) {
  TestPackage package;
  package.module += '\0';
  EXPECT_EQ(refusal(package), "/module.so: expected " +
                                  std::to_string(package.module.size() - 1) +
                                  " bytes, got " +
                                  std::to_string(package.module.size()));
  package = TestPackage();
  package.module.back() ^= 1;
  EXPECT_EQ(refusal(package).rfind("/module.so: expected hash xxh3:", 0), 0u);

  package = TestPackage();
  package.weights += 'x';
  EXPECT_EQ(refusal(package),
            "/weights.safetensors: expected 64 bytes of data, got 65");
  package = TestPackage();
  package.manifest["weights"]["bytes"] = 5;
  EXPECT_EQ(refusal(package),
            "/weights.safetensors: expected 5 bytes, got 192");
  package = TestPackage();
  package.weights[100] = '\n'; // A blank in the header.
  EXPECT_EQ(refusal(package).rfind(
                "/weights.safetensors: expected a header with hash xxh3:", 0),
            0u);
}

TEST(Model, RefusesOtherModules) {
  TestPackage package;
  package.manifest["module"]["build_id"] = "fake-2";
  EXPECT_EQ(refusal(package),
            "/module.so: expected build id fake-2, got fake-1");
  package = TestPackage();
  package.manifest["target"]["triple"] = "aarch64-unknown-linux-gnu";
  EXPECT_EQ(refusal(package), "/module.so: expected code for x86_64, got "
                              "aarch64-unknown-linux-gnu");
  package = TestPackage();
  package.module = "not a shared library";
  package.seal();
  EXPECT_NE(refusal(package), "");
  package = TestPackage();
  package.manifest["functions"][1]["name"] = "other";
  EXPECT_EQ(refusal(package),
            "/module.so: expected an entry for function 'other'");
}

TEST(Model, RefusesOtherParameters) {
  TestPackage package;
  package.manifest["parameters"][0]["shape"] = {17};
  EXPECT_EQ(refusal(package), "/weights.safetensors: tensor 'shift': expected "
                              "128 bytes, got 64");
  package = TestPackage();
  package.manifest["parameters"][0]["name"] = "other";
  EXPECT_EQ(refusal(package),
            "/weights.safetensors: expected a tensor 'other'");
  package = TestPackage();
  package.manifest["parameters"].clear();
  EXPECT_EQ(refusal(package),
            "/weights.safetensors: tensor 'shift': expected a "
            "parameter of the manifest");
  package = TestPackage();
  package.manifest["weights"] = nullptr;
  EXPECT_EQ(refusal(package), ": expected weights for 1 parameters, got a "
                              "package of shapes only");
  package = TestPackage();
  package.weights[0] += 1; // The header takes one byte more.
  package.weights.insert(8 + 119, 1, ' ');
  package.seal();
  EXPECT_EQ(refusal(package),
            "/weights.safetensors: tensor 'shift': expected a "
            "multiple of 64 as its offset in the file");
}

TEST(Model, RefusesOtherLanguageModels) {
  TestPackage package;
  package.manifest["functions"][0]["arguments"][0]["dtype"] = "i64";
  EXPECT_EQ(refusal(package),
            "/manifest.json: function 'forward': expected the inputs i32 "
            "tokens[N], cu[B+1], past[B], slot[B], rows[R] and one output");

  package = TestPackage();
  package.manifest["functions"][1]["name"] = "encode";
  EXPECT_EQ(refusal(package),
            "/manifest.json: function 'encode': expected the inputs i32 "
            "tokens[N], cu[B+1], slot[B] and no output");
}

TEST(Model, ChoosesLevels) {
  TestPackage package;
  EXPECT_EQ(refusal(package, "v1"), "");
  EXPECT_EQ(refusal(package, "v9"), "/module.so: level v9 needs features that "
                                    "this CPU lacks: warp-drive");
  EXPECT_EQ(refusal(package, "v5"),
            "/module.so: expected one of the levels v1, v2, v9, got 'v5'");
}

TEST(Model, RefusesWhatIsNoPackage) {
  moe_model *model = nullptr;
  EXPECT_EQ(moe_model_open("/none", nullptr, &model), MOE_INVALID_PACKAGE);
  EXPECT_STREQ(moe_error(), "/none/manifest.json: No such file or directory");
  EXPECT_EQ(moe_model_open(nullptr, nullptr, &model), MOE_INVALID_ARGUMENT);
  EXPECT_STREQ(moe_error(), "path: expected an address, got NULL");
}

//===- MemoryTest.cpp - Where weights and states lie ----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestPackage.h"
#include "moe-runtime/moe.h"

#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <numeric>
#include <sstream>

using namespace moe::test;

static constexpr int64_t kHugePage = 2 << 20;

/// True if the kernel gives huge pages to who asks for them.
static bool hasHugePages() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::stringstream text;
  text << file.rdbuf();
  return !text.str().empty() && text.str().find("[never]") == std::string::npos;
}

/// Bytes of this process that lie in huge pages.
static int64_t bytesInHugePages() {
  std::ifstream file("/proc/self/smaps_rollup");
  int64_t kib = 0;
  for (std::string line; std::getline(file, line);)
    sscanf(line.c_str(), "AnonHugePages: %ld", &kib);
  return kib << 10;
}

/// What the line of /proc/self/maps says that covers an address.
static std::string mappingOf(const void *address) {
  std::ifstream file("/proc/self/maps");
  for (std::string line; std::getline(file, line);) {
    uintptr_t begin = 0, end = 0;
    sscanf(line.c_str(), "%lx-%lx", &begin, &end);
    auto at = reinterpret_cast<uintptr_t>(address);
    if (begin <= at && at < end)
      return line;
  }
  return "";
}

namespace {
/// A model whose one parameter is larger than what a thread reads at a time.
class Memory : public testing::Test {
protected:
  static constexpr int64_t kElements = (5 << 20) + 48; // 20 MiB and 192 bytes.

  void SetUp() override {
    values.resize(kElements);
    std::iota(values.begin(), values.end(), 0);
    int64_t bytes = kElements * sizeof(int32_t);
    std::string size = std::to_string(bytes);
    std::string header = R"({"shift": {"dtype": "U8", "shape": [)" + size +
                         R"(], "data_offsets": [0, )" + size + "]}}";
    header.resize(128 - 8, ' ');
    TestPackage package;
    package.manifest["parameters"][0] = {
        {"name", "shift"}, {"dtype", "i32"}, {"shape", {kElements}}};
    package.weights = makeArchive(
        header, std::string(reinterpret_cast<char *>(values.data()), bytes));
    package.seal();
    package.write(folder);
  }
  void TearDown() override { moe_model_close(model); }

  void open(moe_weights mode) {
    moe_open_options options{};
    options.weights = mode;
    ASSERT_EQ(moe_model_open(folder.path().c_str(), &options, &model), MOE_OK)
        << moe_error();
    const void *data = moe_parameter_at(model, 0)->data;
    EXPECT_EQ(memcmp(data, values.data(), kElements * sizeof(int32_t)), 0);
  }

  TemporaryFolder folder;
  std::vector<int32_t> values;
  moe_model *model = nullptr;
};
} // namespace

TEST_F(Memory, CopiesWeightsIntoHugePages) {
  int64_t before = bytesInHugePages();
  open(MOE_WEIGHTS_COPY);
  EXPECT_EQ(mappingOf(moe_parameter_at(model, 0)->data).find(".safetensors"),
            std::string::npos);
  if (!hasHugePages())
    GTEST_SKIP() << "transparent huge pages are off";
  EXPECT_GE(bytesInHugePages() - before, kElements * 4 / kHugePage * kHugePage);
}

TEST_F(Memory, MapsWeights) {
  open(MOE_WEIGHTS_MAP);
  EXPECT_NE(
      mappingOf(moe_parameter_at(model, 0)->data).find("weights.safetensors"),
      std::string::npos);
}

TEST_F(Memory, RefusesOtherModes) {
  moe_open_options options{};
  options.weights = static_cast<moe_weights>(2);
  EXPECT_EQ(moe_model_open(folder.path().c_str(), &options, &model),
            MOE_INVALID_ARGUMENT);
  EXPECT_STREQ(moe_error(),
               "weights: expected MOE_WEIGHTS_COPY or MOE_WEIGHTS_MAP, got 2");
}

TEST_F(Memory, LargeStatesLieInHugePages) {
  if (!hasHugePages())
    GTEST_SKIP() << "transparent huge pages are off";
  open(MOE_WEIGHTS_MAP);
  moe_state *state = nullptr;
  // A cache of 16 i32 a slot: 8 MiB.
  constexpr int32_t kSlots = 8 << 14;
  ASSERT_EQ(moe_state_create(model, kSlots, 16, 1, 1, &state), MOE_OK);
  EXPECT_EQ(moe_state_bytes(state), kSlots * 64 + 64);
  int64_t before = bytesInHugePages();
  for (int32_t slot : {0, kSlots - 1}) {
    int32_t token = 1, cu[] = {0, 1}, past = 0, row = 0;
    float logits[7];
    EXPECT_EQ(
        moe_forward(state, 1, &token, 1, cu, &past, &slot, 1, &row, logits),
        MOE_OK);
  }
  EXPECT_EQ(bytesInHugePages() - before, 2 * kHugePage);
  moe_state_destroy(state);
}

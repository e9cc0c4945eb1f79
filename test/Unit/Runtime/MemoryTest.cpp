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

using namespace moe::test;

static constexpr uintptr_t kHugePage = 2 << 20;

/// A part of this process's memory.
struct Mapping {
  uintptr_t begin = 0, end = 0;
  std::string line; ///< of /proc/self/smaps
  bool asksForHugePages = false;
};

static std::vector<Mapping> mappings() {
  std::ifstream file("/proc/self/smaps");
  std::vector<Mapping> result;
  for (std::string line; std::getline(file, line);) {
    Mapping mapping{0, 0, line};
    if (sscanf(line.c_str(), "%lx-%lx ", &mapping.begin, &mapping.end) == 2)
      result.push_back(mapping);
    if (line.rfind("VmFlags:", 0) == 0)
      result.back().asksForHugePages = line.find(" hg") != std::string::npos;
  }
  return result;
}

static Mapping mappingOf(const void *address) {
  auto at = reinterpret_cast<uintptr_t>(address);
  for (const Mapping &mapping : mappings())
    if (mapping.begin <= at && at < mapping.end)
      return mapping;
  return {};
}

/// True if the kernel has huge pages. Whether it gives some depends on what
/// else runs, so tests look at what is asked for.
static bool hasHugePages() {
  return std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled").good();
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
  open(MOE_WEIGHTS_COPY);
  Mapping mapping = mappingOf(moe_parameter_at(model, 0)->data);
  EXPECT_EQ(mapping.line.find(".safetensors"), std::string::npos);
  EXPECT_EQ(mapping.begin % kHugePage, 0u);
  if (!hasHugePages())
    GTEST_SKIP() << "the kernel has no transparent huge pages";
  EXPECT_TRUE(mapping.asksForHugePages);
}

TEST_F(Memory, MapsWeights) {
  open(MOE_WEIGHTS_MAP);
  Mapping mapping = mappingOf(moe_parameter_at(model, 0)->data);
  EXPECT_NE(mapping.line.find("weights.safetensors"), std::string::npos);
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
    GTEST_SKIP() << "the kernel has no transparent huge pages";
  open(MOE_WEIGHTS_MAP);
  // Bytes of a state of so many slots of 64 bytes that ask for huge pages.
  auto bytesOf = [&](int64_t slots) {
    moe_state *state = nullptr;
    EXPECT_EQ(moe_state_create(model, slots, 16, 1, 1, &state), MOE_OK);
    EXPECT_EQ(moe_state_bytes(state), slots * 64 + 64);
    int64_t bytes = 0;
    for (const Mapping &mapping : mappings())
      if (mapping.asksForHugePages) {
        EXPECT_EQ(mapping.begin % kHugePage, 0u);
        bytes += mapping.end - mapping.begin;
      }
    moe_state_destroy(state);
    return bytes;
  };
  EXPECT_EQ(bytesOf(100), 0);
  constexpr int64_t kSlots = 4 * kHugePage / 64, kPage = 4096;
  EXPECT_EQ(bytesOf(kSlots), kSlots * 64 + kPage);
}

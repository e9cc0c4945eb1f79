//===- CpuFeaturesTest.cpp - Features of CPUs that are not here -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/CpuFeatures.h"

#include <csignal>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace moe::runtime;

/// A CPU with every feature, under an operating system that saves `xcr0`.
static CpuId everything(uint64_t xcr0) {
  constexpr uint32_t kAll = ~0u;
  return {kAll, kAll, kAll, kAll, kAll, kAll, xcr0, kAll};
}

TEST(CpuFeatures, NamesWhatIsMissing) {
  EXPECT_EQ(missingFeatures("avx2,fma,bmi2", CpuId()), "avx2,fma,bmi2");
  CpuId cpu = everything(0xe7);
  EXPECT_EQ(missingFeatures("avx2,fma,avx512f,avx512bf16", cpu), "");
  EXPECT_EQ(missingFeatures("", CpuId()), "");
  cpu.leaf7Ebx = 0;
  EXPECT_EQ(missingFeatures("avx2,fma,avx512f", cpu), "avx2,avx512f");
}

TEST(CpuFeatures, OfOtherArchitecturesAreMissing) {
  CpuId arm;
  arm.hwcap = 3; // fp and asimd
  EXPECT_EQ(missingFeatures("neon,fma", arm), "fma");
  EXPECT_EQ(missingFeatures("neon", CpuId::host()), "neon");
}

TEST(CpuFeatures, UnknownNamesAreMissing) {
  EXPECT_EQ(missingFeatures("fma,warp-drive", everything(0xe7)), "warp-drive");
}

TEST(CpuFeatures, NeedsTheSystemToSaveRegisters) {
  EXPECT_EQ(missingFeatures("bmi2,avx2,avx512f", everything(0x7)), "avx512f");
  EXPECT_EQ(missingFeatures("bmi2,avx2,avx512f", everything(0x3)),
            "avx2,avx512f");
}

TEST(CpuFeatures, NeedsTheSystemToSaveTiles) {
  EXPECT_EQ(missingFeatures("amx-tile,amx-bf16,amx-int8", everything(0x600e7)),
            "");
  EXPECT_EQ(missingFeatures("avx2,amx-tile", everything(0xe7)), "amx-tile");
}

namespace {
/// On CPUs with tiles; each test asks in a process of its own, because the
/// system grants them for good.
class Tiles : public testing::Test {
protected:
  void SetUp() override {
    if (!missingFeatures("amx-tile", CpuId::host()).empty())
      GTEST_SKIP() << "the CPU has no AMX";
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }

  static bool granted() {
    constexpr int kGetPermission = 0x1022;
    uint64_t permitted = 0;
    syscall(SYS_arch_prctl, kGetPermission, &permitted);
    return permitted >> 18 & 1;
  }
};
} // namespace

TEST_F(Tiles, AreRequested) {
  EXPECT_EQ(requestFeatures("avx2,avx512f"), "");
  EXPECT_EXIT(
      {
        bool before = granted();
        std::string answer = requestFeatures("avx2,amx-tile,amx-int8");
        exit(!before && granted() && answer.empty() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(Tiles, MayBeRefused) {
  // A stack for signals on which tiles cannot be saved.
  EXPECT_EXIT(
      {
        static char memory[4096];
        stack_t stack{};
        stack.ss_sp = memory;
        stack.ss_size = sizeof(memory);
        sigaltstack(&stack, nullptr);
        std::string answer = requestFeatures("amx-tile");
        fprintf(stderr, "%s\n", answer.c_str());
        exit(granted() ? 1 : 0);
      },
      testing::ExitedWithCode(0),
      "AMX tiles, which the system refuses: No space left on device");
}

TEST(CpuFeatures, HostIsRead) {
  // Every x86-64 CPU since 2006 has these.
  EXPECT_EQ(missingFeatures("sse3,cx16", CpuId::host()), "");
}

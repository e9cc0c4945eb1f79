//===- CpuFeaturesTest.cpp - Features of CPUs that are not here -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/CpuFeatures.h"

#include <gtest/gtest.h>

using namespace moe::runtime;

/// A CPU with every feature, under an operating system that saves `xcr0`.
static CpuId everything(uint64_t xcr0) {
  constexpr uint32_t kAll = ~0u;
  return {kAll, kAll, kAll, kAll, kAll, kAll, xcr0};
}

TEST(CpuFeatures, NamesWhatIsMissing) {
  EXPECT_EQ(missingFeatures("avx2,fma,bmi2", CpuId()), "avx2,fma,bmi2");
  CpuId cpu = everything(0xe7);
  EXPECT_EQ(missingFeatures("avx2,fma,avx512f,avx512bf16", cpu), "");
  EXPECT_EQ(missingFeatures("", CpuId()), "");
  cpu.leaf7Ebx = 0;
  EXPECT_EQ(missingFeatures("avx2,fma,avx512f", cpu), "avx2,avx512f");
}

TEST(CpuFeatures, UnknownNamesAreMissing) {
  EXPECT_EQ(missingFeatures("fma,warp-drive", everything(0xe7)), "warp-drive");
}

TEST(CpuFeatures, NeedsTheSystemToSaveRegisters) {
  EXPECT_EQ(missingFeatures("bmi2,avx2,avx512f", everything(0x7)), "avx512f");
  EXPECT_EQ(missingFeatures("bmi2,avx2,avx512f", everything(0x3)),
            "avx2,avx512f");
}

TEST(CpuFeatures, HostIsRead) {
  // Every x86-64 CPU since 2006 has these.
  EXPECT_EQ(missingFeatures("sse3,cx16", CpuId::host()), "");
}

//===- CpuFeatures.cpp - What the CPU can execute -------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/CpuFeatures.h"

#include <algorithm>
#include <sched.h>

#if defined(__x86_64__)
#include <cerrno>
#include <cpuid.h>
#include <cstring>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#else
#error "expected x86-64 or AArch64"
#endif

using namespace moe::runtime;

namespace {
/// A feature is a bit of one register, and the state that must be saved for it.
struct Feature {
  std::string_view name;
  uint32_t CpuId::*reg;
  int bit;
  uint64_t xcr0;
};
} // namespace

// Bits of XCR0: SSE and AVX halves of ymm; opmask and both parts of zmm;
// configuration and data of tiles.
static constexpr uint64_t kYmm = 0x06;
static constexpr uint64_t kZmm = kYmm | 0xe0;
static constexpr uint64_t kTile = 0x60000;

// Intel SDM volume 2, CPUID; AMD64 APM volume 3, appendix E;
// Documentation/arch/arm64/elf_hwcaps.rst of Linux.
static constexpr Feature kFeatures[] = {
    {"sse3", &CpuId::leaf1Ecx, 0, 0},
    {"ssse3", &CpuId::leaf1Ecx, 9, 0},
    {"fma", &CpuId::leaf1Ecx, 12, kYmm},
    {"cx16", &CpuId::leaf1Ecx, 13, 0},
    {"sse4.1", &CpuId::leaf1Ecx, 19, 0},
    {"sse4.2", &CpuId::leaf1Ecx, 20, 0},
    {"movbe", &CpuId::leaf1Ecx, 22, 0},
    {"popcnt", &CpuId::leaf1Ecx, 23, 0},
    {"xsave", &CpuId::leaf1Ecx, 26, 0},
    {"avx", &CpuId::leaf1Ecx, 28, kYmm},
    {"f16c", &CpuId::leaf1Ecx, 29, kYmm},
    {"bmi", &CpuId::leaf7Ebx, 3, 0},
    {"avx2", &CpuId::leaf7Ebx, 5, kYmm},
    {"bmi2", &CpuId::leaf7Ebx, 8, 0},
    {"avx512f", &CpuId::leaf7Ebx, 16, kZmm},
    {"avx512dq", &CpuId::leaf7Ebx, 17, kZmm},
    {"avx512ifma", &CpuId::leaf7Ebx, 21, kZmm},
    {"avx512cd", &CpuId::leaf7Ebx, 28, kZmm},
    {"avx512bw", &CpuId::leaf7Ebx, 30, kZmm},
    {"avx512vl", &CpuId::leaf7Ebx, 31, kZmm},
    {"avx512vbmi", &CpuId::leaf7Ecx, 1, kZmm},
    {"avx512vbmi2", &CpuId::leaf7Ecx, 6, kZmm},
    {"avx512vnni", &CpuId::leaf7Ecx, 11, kZmm},
    {"avx512bitalg", &CpuId::leaf7Ecx, 12, kZmm},
    {"avx512vpopcntdq", &CpuId::leaf7Ecx, 14, kZmm},
    {"amx-bf16", &CpuId::leaf7Edx, 22, kTile},
    {"avx512fp16", &CpuId::leaf7Edx, 23, kZmm},
    {"amx-tile", &CpuId::leaf7Edx, 24, kTile},
    {"amx-int8", &CpuId::leaf7Edx, 25, kTile},
    {"avxvnni", &CpuId::leaf7_1Eax, 4, kYmm},
    {"avx512bf16", &CpuId::leaf7_1Eax, 5, kZmm},
    {"sahf", &CpuId::extended1Ecx, 0, 0},
    {"lzcnt", &CpuId::extended1Ecx, 5, 0},
    {"neon", &CpuId::hwcap, 1, 0},
};

static bool hasFeature(std::string_view name, const CpuId &cpu) {
  for (const Feature &feature : kFeatures)
    if (feature.name == name)
      return (cpu.*feature.reg >> feature.bit & 1) &&
             (cpu.xcr0 & feature.xcr0) == feature.xcr0;
  return false;
}

/// Calls `visit(name)` for each of `features`, which commas separate.
template <typename Visit>
static void forEachName(std::string_view features, Visit visit) {
  while (!features.empty()) {
    std::string_view name = features.substr(0, features.find(','));
    features.remove_prefix(std::min(name.size() + 1, features.size()));
    if (!name.empty())
      visit(name);
  }
}

std::string moe::runtime::missingFeatures(std::string_view features,
                                          const CpuId &cpu) {
  std::string missing;
  forEachName(features, [&](std::string_view name) {
    if (hasFeature(name, cpu))
      return;
    if (!missing.empty())
      missing += ',';
    missing += name;
  });
  return missing;
}

int64_t moe::runtime::availableCpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0)
    return 1;
  return CPU_COUNT(&set);
}

#if defined(__x86_64__)

CpuId CpuId::host() {
  CpuId cpu;
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx))
    cpu.leaf1Ecx = ecx;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
    cpu.leaf7Ebx = ebx;
    cpu.leaf7Ecx = ecx;
    cpu.leaf7Edx = edx;
    if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx))
      cpu.leaf7_1Eax = eax;
  }
  if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx))
    cpu.extended1Ecx = ecx;
  constexpr int kOsXsave = 27; // XGETBV is legal.
  if (cpu.leaf1Ecx >> kOsXsave & 1) {
    asm("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    cpu.xcr0 = uint64_t(edx) << 32 | eax;
  }
  return cpu;
}

std::string moe::runtime::requestFeatures(std::string_view features) {
  bool needsTiles = false;
  forEachName(features,
              [&](std::string_view name) { needsTiles |= name == "amx-tile"; });
  if (!needsTiles)
    return "";
  // Documentation/arch/x86/xstate.rst of Linux.
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  static const int error =
      syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0 ? 0 : errno;
  return error == 0 ? ""
                    : std::string("AMX tiles, which the system refuses: ") +
                          strerror(error);
}

#else

CpuId CpuId::host() {
  CpuId cpu;
  cpu.hwcap = getauxval(AT_HWCAP);
  return cpu;
}

std::string moe::runtime::requestFeatures(std::string_view) { return ""; }

#endif

//===- CpuFeatures.h - What the CPU can execute --------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_RUNTIME_CPUFEATURES_H
#define MOE_LIB_RUNTIME_CPUFEATURES_H

#include <cstdint>
#include <string>
#include <string_view>

namespace moe::runtime {

/// What tells features apart: on x86-64 the answers of cpuid and xgetbv, on
/// AArch64 those of the system. Zero where there is no such answer.
struct CpuId {
  uint32_t leaf1Ecx = 0;
  uint32_t leaf7Ebx = 0, leaf7Ecx = 0, leaf7Edx = 0;
  uint32_t leaf7_1Eax = 0; ///< leaf 7, subleaf 1
  uint32_t extended1Ecx = 0;
  /// Register state that the operating system saves (XCR0).
  uint64_t xcr0 = 0;
  uint32_t hwcap = 0; ///< the lower half of AT_HWCAP

  /// Asks the CPU that this runs on.
  static CpuId host();
};

/// Those of `features` (LLVM's names, separated by commas) that `cpu` lacks,
/// separated by commas. A vector feature is there only if the operating system
/// saves its registers; a name that is not known is lacking.
std::string missingFeatures(std::string_view features, const CpuId &cpu);

/// Asks the system for what of `features` it grants on request only: registers
/// of AMX tiles, to the whole process and for good. Answers what it refuses
/// and why, or "" if it does not.
std::string requestFeatures(std::string_view features);

/// The number of CPUs that this process may run on.
int64_t availableCpus();

} // namespace moe::runtime

#endif // MOE_LIB_RUNTIME_CPUFEATURES_H

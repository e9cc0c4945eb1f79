//===- Target.h - The machine that code is made for -------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A module says what machine it is for with upstream's attribute:
//
//   module attributes {dlti.target_system_spec = #dlti.target_system_spec<
//     "CPU" = #dlti.target_device_spec<
//       "L1_cache_size_in_bytes" = 49152 : i64,
//       "core_bandwidth" = 16000000000 : i64,
//       "kernels" = #dlti.map<
//         "amx bf16*bf16" = #dlti.map<"block_k" = 512 : i64>>>>}
//
// What it does not say is as on the server of which these are the defaults.
// No bit of a result depends on any of it.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_CPU_TARGET_H
#define MOE_CPU_TARGET_H

#include "moe/CPU/Cost.h"
#include "moe/IR/MoE.h"

#include "mlir/Interfaces/DataLayoutInterfaces.h"

#include <map>

namespace mlir::moe {

/// What the cores and the memory of a machine can do. The defaults are those of
/// a Xeon of the generation Sapphire Rapids with eight channels of DDR5-4800.
struct Machine {
  /// Bytes of the caches of a core.
  int64_t l1 = 48 << 10, l2 = 2 << 20;
  /// Cycles a second with the vector units of all cores busy.
  int64_t clock = 3'300'000'000;
  /// Bytes a second that one core reads with several streams, and all together.
  int64_t coreBandwidth = 16'000'000'000, bandwidth = 250'000'000'000;
};

/// How a kernel's work is cut, and how fast it is. Members that are 0 are left
/// to the model of the target (lib/CPU/TargetModel.h).
struct KernelChoices {
  /// k of a block of a panel.
  int64_t blockK = 0;
  /// Bytes of the packed rows of a chunk.
  int64_t chunkBytes = 0;
  /// Items of a thread to strive for, so that all end at about the same time.
  int64_t itemsPerThread = 0;
  /// Chunks of a thread from which on whole chunks are small enough as items.
  int64_t chunksPerThread = 0;
  /// Operations a second of one core on what its caches hold.
  int64_t operations = 0;
};

/// A member of a description: its name in attributes and files, and what its
/// value is a multiple of.
template <typename T>
struct TargetMember {
  StringLiteral name;
  int64_t T::*value;
  int64_t multiple = 1;
};

inline constexpr TargetMember<Machine> kMachineMembers[] = {
    {"L1_cache_size_in_bytes", &Machine::l1},
    {"L2_cache_size_in_bytes", &Machine::l2},
    {"clock", &Machine::clock},
    {"core_bandwidth", &Machine::coreBandwidth},
    {"bandwidth", &Machine::bandwidth}};

inline constexpr TargetMember<KernelChoices> kKernelMembers[] = {
    {"block_k", &KernelChoices::blockK, 64},
    {"chunk_bytes", &KernelChoices::chunkBytes},
    {"items_per_thread", &KernelChoices::itemsPerThread},
    {"chunks_per_thread", &KernelChoices::chunksPerThread},
    {"operations", &KernelChoices::operations}};

struct Target {
  Machine machine;
  /// By names of kernels, as `amx bf16*bf16`: a level and the types of weights
  /// and rows.
  std::map<std::string, KernelChoices, std::less<>> kernels;

  /// The target of the module around `op`; emits an error if what the module
  /// says of it is malformed.
  static FailureOr<Target> get(Operation *op);

  /// Reads an attribute as above.
  static FailureOr<Target> get(TargetSystemSpecInterface spec,
                               function_ref<InFlightDiagnostic()> emitError);

  /// Writes one, of all that is known.
  TargetSystemSpecInterface toAttribute(MLIRContext *context) const;
};

/// The name of the kernel of a level for packed weights and rows of these
/// types.
std::string getKernelName(StringRef isa, PackFormat format, Compute compute);

/// What the model of the target chooses where nothing was measured, for rows of
/// `k` elements and so many bytes of weights. There must be such a level.
KernelChoices getModelChoices(const Machine &machine, StringRef isa,
                              PackFormat format, Compute compute, int64_t k,
                              int64_t weightBytes);

/// What `operations` of a kernel are, if a product of this cost takes so many
/// seconds on so many threads; 0 if it mostly waits for memory.
int64_t solveOperations(const Machine &machine, StringRef isa,
                        PackFormat format, Compute compute, const Cost &cost,
                        int64_t threads, double seconds);

} // namespace mlir::moe

#endif // MOE_CPU_TARGET_H

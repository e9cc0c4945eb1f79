//===- Trace.h - When the stages of calls ran ----------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_RUNTIME_TRACE_H
#define MOE_LIB_RUNTIME_TRACE_H

#include "Runtime/Manifest.h"
#include "Runtime/Memory.h"
#include "moe-runtime/module_abi.h"

#include <chrono>
#include <memory>

namespace moe::runtime {

/// The last events of calls on a state: stages, which compiled code adds, and
/// whole calls, whose numbers follow those of the stages.
class Trace {
public:
  /// Starts a trace with room for at least `events` events.
  static Expected<std::unique_ptr<Trace>> start(const Manifest &manifest,
                                                int64_t events);

  /// Calls `invoke(trace)` and adds the call of a function.
  template <typename Invoke>
  void recordCall(size_t function, Invoke invoke) {
    uint64_t begin = readCounter();
    invoke(&ring);
    auto stage = static_cast<int64_t>(manifest.stages.size() + function);
    ring.events[ring.count++ & ring.mask] = {stage, -1, begin, readCounter()};
  }

  /// Writes the events as JSON in Chrome's trace event format.
  std::optional<Error> write(const std::string &path, const char *isa,
                             int64_t threads) const;

private:
  /// What a counter and a clock show at the same time.
  struct Instant {
    uint64_t counter = readCounter();
    std::chrono::steady_clock::time_point time =
        std::chrono::steady_clock::now();
  };

  Trace(const Manifest &manifest, Memory memory, uint64_t capacity);

  /// What `llvm.readcyclecounter` reads.
  static uint64_t readCounter() {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    uint64_t value;
    asm volatile("mrs %0, cntvct_el0" : "=r"(value));
    return value;
#endif
  }

  /// Ticks of the counter in a microsecond, measured since the start.
  double ticksPerMicrosecond() const;

  const Manifest &manifest;
  Memory memory;
  moe_trace ring;
  Instant begin;
};

} // namespace moe::runtime

#endif // MOE_LIB_RUNTIME_TRACE_H

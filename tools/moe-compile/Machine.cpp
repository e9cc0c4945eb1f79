//===- Machine.cpp - What this machine can do -----------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Machine.h"

#include "Runtime/CpuFeatures.h"
#include "Runtime/Memory.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <unistd.h>

using namespace mlir::moe;

using ::moe::runtime::Memory;

/// Bytes that are read: more than a share of a cache that many cores have.
static constexpr size_t kReadBytes = size_t(512) << 20;

/// Places that a core reads at a time.
static constexpr size_t kStreams = 4;

static constexpr int kRepeats = 15;

/// Results go there, so that no loop is left out.
static std::atomic<uint64_t> sink;

/// Seconds that `run(thread)` takes on all threads, which start together; the
/// least of some repeats.
static double measure(int64_t threads,
                      llvm::function_ref<void(int64_t thread)> run) {
  using Clock = std::chrono::steady_clock;
  double least = std::numeric_limits<double>::infinity();
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    std::atomic<int64_t> waiting = threads;
    std::vector<Clock::time_point> begins(threads), ends(threads);
    std::vector<std::thread> pool;
    for (int64_t thread = 0; thread < threads; ++thread)
      pool.emplace_back([&, thread] {
        for (--waiting; waiting;)
          ;
        begins[thread] = Clock::now();
        run(thread);
        ends[thread] = Clock::now();
      });
    for (std::thread &worker : pool)
      worker.join();
    std::chrono::duration<double> time =
        *llvm::max_element(ends) - *llvm::min_element(begins);
    least = std::min(least, time.count());
  }
  return least;
}

/// Bytes a second that so many threads read together.
static double measureBandwidth(const Memory &memory, int64_t threads) {
  const auto *words = reinterpret_cast<const uint64_t *>(memory.data());
  size_t share = kReadBytes / threads / kStreams / 64 * 8;
  double seconds = measure(threads, [&](int64_t thread) {
    const uint64_t *begin = words + thread * share * kStreams;
    uint64_t sums[8] = {};
    for (size_t i = 0; i < share; i += 8)
      for (size_t stream = 0; stream < kStreams; ++stream)
        for (size_t word = 0; word < 8; ++word)
          sums[word] += begin[stream * share + i + word];
    for (uint64_t sum : sums)
      sink += sum;
  });
  return threads * share * kStreams * 8 / seconds;
}

/// Three digits are more than a measurement is worth.
static int64_t roundOff(double value) {
  double unit = std::pow(10, std::floor(std::log10(value)) - 2);
  return static_cast<int64_t>(std::round(value / unit) * unit);
}

Machine mlir::moe::measureMachine() {
  Machine machine;
  if (long bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE); bytes > 0)
    machine.l1 = bytes;
  if (long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE); bytes > 0)
    machine.l2 = bytes;
  int64_t threads = ::moe::runtime::availableCpus();
  if (std::optional<Memory> memory = Memory::allocate(kReadBytes)) {
    std::fill_n(memory->data(), kReadBytes, std::byte(1));
    machine.coreBandwidth = roundOff(measureBandwidth(*memory, 1));
    machine.bandwidth = roundOff(measureBandwidth(*memory, threads));
  }
  return machine;
}

void mlir::moe::remeasure(Machine &machine) {
  Machine again = measureMachine();
  machine.coreBandwidth = std::max(machine.coreBandwidth, again.coreBandwidth);
  machine.bandwidth = std::max(machine.bandwidth, again.bandwidth);
}

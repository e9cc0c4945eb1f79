//===- Trace.cpp - When the stages of calls ran ---------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/Trace.h"
#include "Runtime/Json.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <thread>

using namespace moe::runtime;

/// Events that a trace has room for, at most: 32 GiB of them.
static constexpr int64_t kMaxEvents = int64_t(1) << 30;

Trace::Trace(const Manifest &manifest, Memory memory, uint64_t capacity)
    : manifest(manifest), memory(std::move(memory)),
      ring{/*count=*/0, /*mask=*/capacity - 1,
           reinterpret_cast<moe_event *>(this->memory.data())} {}

Expected<std::unique_ptr<Trace>> Trace::start(const Manifest &manifest,
                                              int64_t events) {
  if (events < 1 || events > kMaxEvents)
    return invalidArgument("events: expected a number from 1 to ", kMaxEvents,
                           ", got ", events);
  if (manifest.stages.empty())
    return invalidArgument("trace: expected a package compiled with "
                           "trace=true, got one without stages");
  uint64_t capacity = 1;
  while (capacity < uint64_t(events))
    capacity *= 2;
  auto memory = Memory::allocate(capacity * sizeof(moe_event));
  if (!memory)
    return makeError(MOE_OUT_OF_MEMORY, "trace: expected ",
                     capacity * sizeof(moe_event), " bytes of memory");
  return std::unique_ptr<Trace>(
      new Trace(manifest, std::move(*memory), capacity));
}

double Trace::ticksPerMicrosecond() const {
  // Reading both takes well below a microsecond, so this is exact to 1e-4.
  constexpr auto kLeast = std::chrono::milliseconds(10);
  std::this_thread::sleep_until(begin.time + kLeast);
  Instant now;
  std::chrono::duration<double, std::micro> elapsed = now.time - begin.time;
  return double(now.counter - begin.counter) / elapsed.count();
}

std::optional<Error> Trace::write(const std::string &path, const char *isa,
                                  int64_t threads) const {
  std::vector<std::string> names; // Of stages, then of functions, as JSON.
  for (const std::string &stage : manifest.stages)
    names.push_back(Json(stage).dump());
  for (const Function &function : manifest.functions)
    names.push_back(Json(function.name).dump());

  double rate = ticksPerMicrosecond();
  uint64_t capacity = ring.mask + 1;
  uint64_t lost = ring.count > capacity ? ring.count - capacity : 0;
  Json about = {{"compiler", manifest.compiler},
                {"isa", isa},
                {"threads", threads},
                {"lost_events", lost}};

  std::ofstream file(path);
  file << std::fixed;
  file.precision(3);
  file << "{\"otherData\": " << about.dump() << ",\n\"traceEvents\": [";
  const char *separator = "\n";
  for (uint64_t i = lost; i < ring.count; ++i) {
    const moe_event &event = ring.events[i & ring.mask];
    file << separator << "{\"name\": " << names[event.stage]
         << ", \"ph\": \"X\", \"pid\": 0, \"tid\": 0, \"ts\": "
         << double(int64_t(event.begin - begin.counter)) / rate
         << ", \"dur\": " << double(event.end - event.begin) / rate;
    if (event.iteration >= 0)
      file << ", \"args\": {\"iteration\": " << event.iteration << "}";
    file << "}";
    separator = ",\n";
  }
  file << "\n]}\n";
  file.close();
  if (!file)
    return invalidArgument(path, ": cannot write: ", strerror(errno));
  return std::nullopt;
}

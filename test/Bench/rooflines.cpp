//===- rooflines.cpp - What this machine can do at most -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// usage: rooflines THREADS MEBIBYTES
//
// Prints the names of what it can measure, then answers each line `REPEATS
// NAME...` with the best rates of as many repeats as JSON: operations a second
// of a unit on all threads, or bytes a second that they read, from private
// memory of so many mebibytes in all, which should exceed every cache. A repeat
// takes a few milliseconds, and each reads the part of the memory behind the
// one before.
//
// A unit is timed on registers alone, with as many independent sums as it takes
// to fill its pipeline. Operands are numbers of ordinary size: some units are
// faster on zeros, all are far slower on denormal numbers.
//
//===----------------------------------------------------------------------===//

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <immintrin.h>
#include <iostream>
#include <map>
#include <memory>
#include <sched.h>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <vector>

static int threads;

static double now() {
  auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(time).count();
}

/// Gives the calling thread the n-th of the CPUs that the process may use.
static void pin(int n) {
  cpu_set_t allowed, mine;
  sched_getaffinity(getpid(), sizeof allowed, &allowed);
  n %= CPU_COUNT(&allowed);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &allowed) || n-- > 0)
    ++cpu;
  CPU_ZERO(&mine);
  CPU_SET(cpu, &mine);
  sched_setaffinity(0, sizeof mine, &mine);
}

/// Best rate, over some repeats, of a function that does `work` on each thread;
/// all start together, and a repeat lasts until the last has finished.
static double bestRate(int repeats, double work,
                       const std::function<void(int id, int repeat)> &run) {
  std::vector<double> seconds(repeats);
  std::vector<std::thread> pool;
  std::barrier gate(threads);
  double start = 0;
  for (int id = 0; id < threads; ++id)
    pool.emplace_back([&, id] {
      pin(id);
      for (int repeat = 0; repeat < repeats; ++repeat) {
        gate.arrive_and_wait();
        if (id == 0)
          start = now();
        gate.arrive_and_wait();
        run(id, repeat);
        gate.arrive_and_wait();
        if (id == 0)
          seconds[repeat] = now() - start;
      }
    });
  for (std::thread &thread : pool)
    thread.join();
  return threads * work / *std::min_element(seconds.begin(), seconds.end());
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

constexpr int kSums = 12;
constexpr long kSteps = 1'000'000;

/// Keeps a value in a register, and the compiler from knowing it.
#define OPAQUE(value) asm volatile("" : "+v"(value))

/// Twelve independent sums: what `STEP` makes of `sum`, `a` and `b`.
#define DEFINE_KERNEL(NAME, TARGET, SUM, FACTOR, ONE, STEP)                    \
  __attribute__((target(TARGET))) static void NAME() {                         \
    SUM sums[kSums] = {};                                                      \
    FACTOR a = ONE, b = ONE;                                                   \
    OPAQUE(a);                                                                 \
    OPAQUE(b);                                                                 \
    for (long i = 0; i < kSteps; ++i) {                                        \
      _Pragma("unroll") for (SUM &sum : sums) {                                \
        OPAQUE(a);                                                             \
        STEP;                                                                  \
        OPAQUE(sum);                                                           \
      }                                                                        \
    }                                                                          \
  }

DEFINE_KERNEL(fma256, "avx2,fma", __m256, __m256, _mm256_set1_ps(1.25f),
              sum = _mm256_fmadd_ps(a, b, sum))
DEFINE_KERNEL(fma512, "avx512f", __m512, __m512, _mm512_set1_ps(1.25f),
              sum = _mm512_fmadd_ps(a, b, sum))
DEFINE_KERNEL(bf16Dot512, "avx512f,avx512bf16", __m512, __m512i,
              _mm512_set1_epi32(0x3fa03fa0),
              sum = _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b))
DEFINE_KERNEL(
    madd256, "avx2", __m256i, __m256i, _mm256_set1_epi8(3),
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b),
                                                  _mm256_set1_epi16(1))))
DEFINE_KERNEL(vnni256, "avx2,avxvnni", __m256i, __m256i, _mm256_set1_epi8(3),
              sum = _mm256_dpbusd_avx_epi32(sum, a, b))
DEFINE_KERNEL(vnni512, "avx512f,avx512vnni", __m512i, __m512i,
              _mm512_set1_epi8(3), sum = _mm512_dpbusd_epi32(sum, a, b))

/// The layout that ldtilecfg reads (Intel SDM, volume 1, chapter 18).
struct TileConfig {
  uint8_t palette = 1;
  uint8_t startRow = 0;
  uint8_t reserved[14] = {};
  uint16_t bytesPerRow[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

/// Four sums of 16x16 from two tiles on either side, as a 32x32 block has.
#define DEFINE_TILE_KERNEL(NAME, TARGET, PATTERN, STEP)                        \
  __attribute__((target(TARGET))) static void NAME() {                         \
    alignas(64) TileConfig config;                                             \
    alignas(64) uint32_t tile[256];                                            \
    std::fill(std::begin(tile), std::end(tile), PATTERN);                      \
    _tile_loadconfig(&config);                                                 \
    _tile_zero(0);                                                             \
    _tile_zero(1);                                                             \
    _tile_zero(2);                                                             \
    _tile_zero(3);                                                             \
    _tile_loadd(4, tile, 64);                                                  \
    _tile_loadd(5, tile, 64);                                                  \
    _tile_loadd(6, tile, 64);                                                  \
    _tile_loadd(7, tile, 64);                                                  \
    for (long i = 0; i < kSteps / 4; ++i) {                                    \
      STEP(0, 4, 6);                                                           \
      STEP(1, 4, 7);                                                           \
      STEP(2, 5, 6);                                                           \
      STEP(3, 5, 7);                                                           \
    }                                                                          \
    _tile_release();                                                           \
  }

DEFINE_TILE_KERNEL(tileBf16, "amx-tile,amx-bf16", 0x3fa03fa0u, _tile_dpbf16ps)
DEFINE_TILE_KERNEL(tileInt8, "amx-tile,amx-int8", 0x03030303u, _tile_dpbssd)

/// Whether the kernel lets this process use tiles.
static bool requestTiles() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

struct Unit {
  bool present;
  /// Operations of a call.
  double work;
  void (*run)();
};

static std::map<std::string, Unit> units() {
  constexpr double kVector = double(kSums) * kSteps;
  bool tiles = __builtin_cpu_supports("amx-tile") && requestTiles();
  return {
      {"f32_fma_256",
       {bool(__builtin_cpu_supports("fma")), kVector * 2 * 8, fma256}},
      {"f32_fma_512",
       {bool(__builtin_cpu_supports("avx512f")), kVector * 2 * 16, fma512}},
      {"bf16_dot_512",
       {bool(__builtin_cpu_supports("avx512bf16")), kVector * 2 * 32,
        bf16Dot512}},
      {"int8_madd_256",
       {bool(__builtin_cpu_supports("avx2")), kVector * 2 * 32, madd256}},
      {"int8_vnni_256",
       {bool(__builtin_cpu_supports("avxvnni")), kVector * 2 * 32, vnni256}},
      {"int8_vnni_512",
       {bool(__builtin_cpu_supports("avx512vnni")), kVector * 2 * 64, vnni512}},
      {"bf16_amx",
       {tiles && __builtin_cpu_supports("amx-bf16"),
        double(kSteps) * 2 * 16 * 16 * 32, tileBf16}},
      {"int8_amx",
       {tiles && __builtin_cpu_supports("amx-int8"),
        double(kSteps) * 2 * 16 * 16 * 64, tileInt8}},
  };
}

//===----------------------------------------------------------------------===//
// Reading memory
//===----------------------------------------------------------------------===//

constexpr size_t kHugePage = 2 << 20;
constexpr size_t kAhead = 4096;
/// Parts of a thread's memory that are read one after another.
constexpr int kParts = 8;

/// Reads `bytes` at `data` as so many streams, each an equal part of it.
template <int streams>
static void read(const char *data, size_t bytes) {
  typedef long long Line __attribute__((vector_size(64)));
  size_t length = bytes / streams;
  Line sums[4] = {};
  for (size_t i = 0; i < length; i += 256)
    for (int stream = 0; stream < streams; ++stream) {
      const char *at = data + stream * length + i;
      for (int line = 0; line < 4; ++line) {
        __builtin_prefetch(at + kAhead + 64 * line);
        sums[line] += *reinterpret_cast<const Line *>(at + 64 * line);
      }
    }
  for (Line &sum : sums)
    asm volatile("" : : "m"(sum));
}

/// Private memory that each thread has some of.
struct Memory {
  Memory(size_t bytes, bool huge)
      : huge(huge), part(bytes / threads / kParts / kHugePage * kHugePage) {
    size_t each = part * kParts;
    for (int id = 0; id < threads; ++id) {
      void *mapped = mmap(nullptr, each + kHugePage, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (mapped == MAP_FAILED) {
        perror("rooflines: mmap");
        exit(1);
      }
      mappings.push_back(mapped);
      char *data = reinterpret_cast<char *>(
          (reinterpret_cast<uintptr_t>(mapped) + kHugePage - 1) & -kHugePage);
      madvise(data, each, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
      memset(data, 1, each);
      starts.push_back(data);
    }
  }

  Memory(const Memory &) = delete;

  ~Memory() {
    for (void *mapped : mappings)
      munmap(mapped, part * kParts + kHugePage);
  }

  double readRate(int repeats, int streams) {
    auto run = streams == 1 ? read<1> : read<4>;
    int first = next;
    next += repeats;
    return bestRate(repeats, part, [&](int id, int repeat) {
      run(starts[id] + (first + repeat) % kParts * part, part);
    });
  }

  bool huge;
  size_t part;
  int next = 0;
  std::vector<void *> mappings;
  std::vector<char *> starts;
};

//===----------------------------------------------------------------------===//
// Requests
//===----------------------------------------------------------------------===//

int main(int argc, char **argv) {
  if (argc != 3 || (threads = atoi(argv[1])) < 1 || atol(argv[2]) < 1) {
    fprintf(stderr, "usage: rooflines THREADS MEBIBYTES\n");
    return 1;
  }
  size_t bytes = size_t(atol(argv[2])) << 20;
  std::map<std::string, std::function<double(int)>> known;
  for (const auto &[name, unit] : units())
    if (unit.present)
      known[name] = [unit = unit](int repeats) {
        return bestRate(repeats, unit.work, [&](int, int) { unit.run(); });
      };
  std::unique_ptr<Memory> memory;
  for (bool huge : {false, true})
    for (int streams : {1, 4})
      known[std::string("read_") + (huge ? "huge_" : "4k_") +
            std::to_string(streams)] = [=, &memory](int repeats) {
        if (!memory || memory->huge != huge) {
          memory.reset(); // there may not be room for both
          memory = std::make_unique<Memory>(bytes, huge);
        }
        return memory->readRate(repeats, streams);
      };

  for (const auto &[name, measure] : known)
    std::cout << name << ' ';
  std::cout << std::endl;
  for (std::string line, name; std::getline(std::cin, line);) {
    std::istringstream request(line);
    int repeats = 0;
    request >> repeats;
    const char *separator = "{";
    while (request >> name) {
      std::cout << separator << '"' << name
                << "\": " << known.at(name)(repeats);
      separator = ", ";
    }
    std::cout << '}' << std::endl;
  }
}

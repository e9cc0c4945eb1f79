//===- Memory.cpp - Memory of a process's own -----------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/Memory.h"
#include "Runtime/CpuFeatures.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace moe::runtime;

std::optional<Memory> Memory::allocate(size_t bytes) {
  bool isHuge = bytes >= kHugePage;
  size_t slack = isHuge ? kHugePage : 0, mapped;
  if (__builtin_add_overflow(bytes, slack, &mapped))
    return std::nullopt;
  void *address = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED)
    return std::nullopt;
  auto *base = static_cast<std::byte *>(address);
  if (isHuge) {
    // What lies before the first huge page, and after as many bytes, goes back.
    size_t before = -reinterpret_cast<uintptr_t>(base) % kHugePage;
    size_t page = sysconf(_SC_PAGESIZE);
    size_t used = (before + bytes + page - 1) / page * page;
    if (before > 0)
      munmap(base, before);
    if (used < mapped)
      munmap(base + used, mapped - used);
    base += before;
    // A system without huge pages refuses; small ones are as good then.
    madvise(base, bytes, MADV_HUGEPAGE);
  }
  return Memory(base, bytes);
}

Memory::~Memory() {
  if (base)
    munmap(base, size);
}

/// Reads `bytes` bytes at an offset of a file; returns an error of the system,
/// or 0. A file that ends before is an error too.
static int readAt(int fd, std::byte *data, size_t bytes, size_t offset) {
  while (bytes > 0) {
    ssize_t count = pread(fd, data, bytes, offset);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return count < 0 ? errno : EIO;
    data += count;
    offset += count;
    bytes -= count;
  }
  return 0;
}

Expected<Memory> moe::runtime::readFile(const std::string &path, size_t bytes) {
  auto memory = Memory::allocate(bytes);
  if (!memory)
    return makeError(MOE_OUT_OF_MEMORY, path, ": expected ", bytes,
                     " bytes of memory for a copy");
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return invalidPackage(path, ": ", strerror(errno));

  // Whole huge pages, so that one thread at a time faults each in; few enough
  // that the threads end together.
  constexpr size_t kChunk = 4 * Memory::kHugePage;
  std::atomic<size_t> next = 0;
  std::atomic<int> failure = 0;
  auto read = [&] {
    for (size_t begin;
         failure == 0 && (begin = next.fetch_add(kChunk)) < bytes;)
      if (int error = readAt(fd, memory->data() + begin,
                             std::min(kChunk, bytes - begin), begin))
        failure = error;
  };
  size_t numThreads =
      std::min<size_t>(availableCpus(), (bytes + kChunk - 1) / kChunk);
  std::vector<std::thread> threads;
  threads.reserve(numThreads);
  try {
    while (threads.size() + 1 < numThreads)
      threads.emplace_back(read);
  } catch (const std::system_error &) {
    // The process may have no more threads; those that there are suffice.
  }
  read();
  for (std::thread &thread : threads)
    thread.join();
  close(fd);
  if (failure != 0)
    return invalidPackage(path, ": ", strerror(failure));
  return std::move(*memory);
}

//===- MappedFile.cpp - A file mapped read-only ---------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/MappedFile.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace moe::runtime;

Expected<MappedFile> MappedFile::open(const std::string &path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return invalidPackage(path, ": ", strerror(errno));

  struct stat info;
  void *address = nullptr;
  std::optional<Error> error;
  if (fstat(fd, &info) != 0) {
    error = invalidPackage(path, ": ", strerror(errno));
  } else if (!S_ISREG(info.st_mode)) {
    error = invalidPackage(path, ": expected a regular file");
  } else if (info.st_size > 0) { // An empty range cannot be mapped.
    address = mmap(nullptr, info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED)
      error = invalidPackage(path, ": ", strerror(errno));
  }
  close(fd);
  if (error)
    return *std::move(error);
  return MappedFile(
      {static_cast<const char *>(address), static_cast<size_t>(info.st_size)});
}

MappedFile::~MappedFile() {
  if (!contents.empty())
    munmap(const_cast<char *>(contents.data()), contents.size());
}

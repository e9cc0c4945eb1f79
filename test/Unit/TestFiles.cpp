//===- TestFiles.cpp - Files for tests ------------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestFiles.h"

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace moe::test;

TemporaryFolder::TemporaryFolder() {
  folder = (std::filesystem::temp_directory_path() / "moe-XXXXXX").string();
  if (!mkdtemp(folder.data()))
    abort();
}

TemporaryFolder::~TemporaryFolder() { std::filesystem::remove_all(folder); }

void moe::test::writeFile(const std::string &path,
                          const std::string &contents) {
  std::ofstream(path, std::ios::binary) << contents;
}

std::string moe::test::readFile(const std::string &path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::string moe::test::makeArchive(const std::string &header,
                                   const std::string &data) {
  std::string length;
  for (int i = 0; i < 8; ++i)
    length += char(uint64_t(header.size()) >> 8 * i);
  return length + header + data;
}

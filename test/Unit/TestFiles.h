//===- TestFiles.h - Files for tests ---------------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_UNITTESTS_TESTFILES_H
#define MOE_UNITTESTS_TESTFILES_H

#include <string>

namespace moe::test {

/// A folder that is removed with its contents.
class TemporaryFolder {
public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder &) = delete;

  const std::string &path() const { return folder; }
  std::string path(const std::string &file) const {
    return folder + "/" + file;
  }

private:
  std::string folder;
};

void writeFile(const std::string &path, const std::string &contents);
std::string readFile(const std::string &path);

/// An archive: the length of `header`, the header, and the data.
std::string makeArchive(const std::string &header, const std::string &data);

} // namespace moe::test

#endif // MOE_UNITTESTS_TESTFILES_H

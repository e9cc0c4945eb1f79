//===- Link.cpp - Links an object file to a shared library ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// No compiler driver is needed: the C library that is linked against is the one
// that this process runs with, wherever the system has it.
//
//===----------------------------------------------------------------------===//

#include "moe/Export/Link.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"

#include <dlfcn.h>
#include <link.h>

using namespace mlir;
using namespace mlir::moe;
namespace sys = llvm::sys;

StringRef mlir::moe::getOpenMPLibrary() { return MOE_OPENMP_LIBRARY; }

/// Finds the linker: where the build found it, else in PATH.
static llvm::Expected<std::string> findLinker() {
  for (StringRef name : {StringRef(MOE_LINKER), sys::path::filename(MOE_LINKER),
                         StringRef("ld.lld")})
    if (auto found = sys::findProgramByName(name))
      return *found;
  return llvm::createStringError("expected the linker " MOE_LINKER
                                 ", or ld.lld in PATH");
}

/// Finds the file that this process loads for a system library.
static llvm::Expected<std::string> findLoadedLibrary(const char *name) {
  void *handle = dlopen(name, RTLD_LAZY);
  if (!handle)
    return llvm::createStringError(dlerror());
  llvm::scope_exit close([&] { dlclose(handle); });
  link_map *map;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0)
    return llvm::createStringError(dlerror());
  return map->l_name;
}

/// Runs a program whose first argument is its name; what it writes to stderr is
/// the error when it fails.
static llvm::Error run(StringRef program, ArrayRef<StringRef> arguments) {
  SmallString<128> log;
  if (std::error_code error = sys::fs::createTemporaryFile("moe", "log", log))
    return llvm::errorCodeToError(error);
  llvm::FileRemover removeLog(log);
  std::string message;
  if (sys::ExecuteAndWait(program, arguments, /*Env=*/std::nullopt,
                          {std::nullopt, std::nullopt, log.str()},
                          /*SecondsToWait=*/0, /*MemoryLimit=*/0,
                          &message) == 0)
    return llvm::Error::success();
  if (auto output = llvm::MemoryBuffer::getFile(log); output && message.empty())
    message = (*output)->getBuffer().trim().str();
  return llvm::createStringError(program + ": " + message);
}

llvm::Error mlir::moe::linkSharedLibrary(StringRef object, StringRef path) {
  auto linker = findLinker();
  if (!linker)
    return linker.takeError();
  auto libc = findLoadedLibrary("libc.so.6");
  if (!libc)
    return libc.takeError();
  auto libm = findLoadedLibrary("libm.so.6");
  if (!libm)
    return libm.takeError();

  SmallString<128> objectPath;
  if (std::error_code error =
          sys::fs::createTemporaryFile("moe", "o", objectPath))
    return llvm::errorCodeToError(error);
  llvm::FileRemover removeObject(objectPath);
  if (llvm::Error error =
          llvm::writeToOutput(objectPath, [&](llvm::raw_ostream &os) {
            os << object;
            return llvm::Error::success();
          }))
    return error;

  return run(*linker, {"ld.lld",
                       "-shared",
                       "-soname",
                       sys::path::filename(path),
                       "-o",
                       path,
                       "-z",
                       "relro",
                       "-z",
                       "now",
                       "-z",
                       "noexecstack",
                       "-z",
                       "defs",
                       "-rpath",
                       "$ORIGIN",
                       "--gc-sections",
                       "--as-needed",
                       objectPath,
                       getOpenMPLibrary(),
                       *libm,
                       *libc});
}

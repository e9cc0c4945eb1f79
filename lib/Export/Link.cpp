//===- Link.cpp - Links an object file to a shared library ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// No compiler driver is needed: the C library that is linked against is the one
// that this process runs with, wherever the system has it. For another
// architecture a stub stands for it, so that no sysroot is needed either.
//
//===----------------------------------------------------------------------===//

#include "moe/Export/Link.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/InterfaceStub/ELFObjHandler.h"
#include "llvm/InterfaceStub/IFSStub.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/TargetParser/Host.h"

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

/// Writes a shared library without code that has what a foreign object uses of
/// the C library. It has the name of libm, which itself needs libc.
static llvm::Error writeStub(const llvm::object::ELFObjectFileBase &object,
                             StringRef path) {
  llvm::ifs::IFSStub stub;
  stub.SoName = "libm.so.6";
  stub.Target.Arch = object.getEMachine();
  stub.Target.BitWidth = llvm::ifs::IFSBitWidthType::IFS64;
  stub.Target.Endianness = llvm::ifs::IFSEndiannessType::Little;
  llvm::TargetLibraryInfoImpl functions(object.makeTriple());
  for (const llvm::object::SymbolRef &symbol : object.symbols()) {
    auto name = symbol.getName();
    if (!name)
      return name.takeError();
    auto flags = symbol.getFlags();
    if (!flags)
      return flags.takeError();
    llvm::LibFunc function;
    if (*flags & llvm::object::SymbolRef::SF_Undefined &&
        functions.getLibFunc(*name, function))
      stub.Symbols.emplace_back(name->str()).Type =
          llvm::ifs::IFSSymbolType::Func;
  }
  return llvm::ifs::writeBinaryStub(path, stub);
}

/// The libraries that an object may use: those that this process would load,
/// or for another architecture a stub, which is written to `stubPath`.
static llvm::Expected<SmallVector<std::string>>
findLibraries(const llvm::object::ELFObjectFileBase &object,
              StringRef stubPath) {
  if (object.getArch() != llvm::Triple(sys::getProcessTriple()).getArch()) {
    if (llvm::Error error = writeStub(object, stubPath))
      return error;
    return SmallVector<std::string>{stubPath.str()};
  }
  SmallVector<std::string> paths = {getOpenMPLibrary().str()};
  for (const char *name : {"libm.so.6", "libc.so.6"}) {
    auto path = findLoadedLibrary(name);
    if (!path)
      return path.takeError();
    paths.push_back(std::move(*path));
  }
  return paths;
}

namespace {
/// A file that lives as long as this.
class TemporaryFile {
public:
  explicit TemporaryFile(StringRef suffix)
      : error(sys::fs::createTemporaryFile("moe", suffix, path)),
        remover(path) {}

  SmallString<128> path;
  std::error_code error;

private:
  llvm::FileRemover remover;
};
} // namespace

llvm::Error mlir::moe::linkSharedLibrary(StringRef object, StringRef path) {
  auto linker = findLinker();
  if (!linker)
    return linker.takeError();
  TemporaryFile objectFile("o"), stubFile("so");
  for (const TemporaryFile *file : {&objectFile, &stubFile})
    if (file->error)
      return llvm::errorCodeToError(file->error);
  if (llvm::Error error =
          llvm::writeToOutput(objectFile.path, [&](llvm::raw_ostream &os) {
            os << object;
            return llvm::Error::success();
          }))
    return error;

  auto parsed = llvm::object::ObjectFile::createELFObjectFile(
      llvm::MemoryBufferRef(object, objectFile.path));
  if (!parsed)
    return parsed.takeError();
  auto libraries = findLibraries(
      cast<llvm::object::ELFObjectFileBase>(**parsed), stubFile.path);
  if (!libraries)
    return libraries.takeError();

  SmallVector<StringRef> arguments = {"ld.lld",
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
                                      objectFile.path};
  arguments.append(libraries->begin(), libraries->end());
  return run(*linker, arguments);
}

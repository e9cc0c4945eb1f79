//===- Package.cpp - Writes package folders -------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/Export/Package.h"
#include "Manifest.h"
#include "moe/Export/Header.h"
#include "moe/Export/LLVMIR.h"
#include "moe/Export/Link.h"
#include "moe/Params/ParameterProgram.h"

#include "Runtime/Hash.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace mlir::moe;
namespace fs = llvm::sys::fs;
namespace path = llvm::sys::path;

static constexpr llvm::StringLiteral kModule = "module.so";
static constexpr llvm::StringLiteral kHeader = "module.h";
static constexpr llvm::StringLiteral kWeights = "weights.safetensors";
static constexpr llvm::StringLiteral kManifest = "manifest.json";

//===----------------------------------------------------------------------===//
// The folder
//===----------------------------------------------------------------------===//

namespace {
/// A folder that is filled beside its final path and renamed when complete.
class Folder {
public:
  static llvm::Expected<Folder> create(StringRef path);

  Folder(Folder &&other)
      : path(std::move(other.path)),
        temporary(std::exchange(other.temporary, {})) {}

  /// Removes what was written, unless it was committed.
  ~Folder() {
    if (!temporary.empty())
      fs::remove_directories(temporary);
  }

  /// The path of a file in the folder.
  std::string file(StringRef name) const {
    return (temporary + "/" + name).str();
  }

  /// Writes a whole file.
  llvm::Error write(StringRef name, StringRef contents) const;

  /// Copies a file into the folder, under its own name.
  llvm::Error copy(StringRef source) const;

  /// Gives the complete folder its final name, in place of the package that has
  /// it.
  llvm::Error commit();

private:
  Folder(StringRef path, StringRef temporary)
      : path(path), temporary(temporary) {}

  std::string path;
  std::string temporary;
};
} // namespace

llvm::Expected<Folder> Folder::create(StringRef name) {
  name = name.rtrim('/');
  std::error_code error;
  fs::directory_iterator first(name, error);
  bool isEmpty = !error && first == fs::directory_iterator();
  bool isFree = !fs::exists(name) || isEmpty;
  if (!isFree && !fs::exists(name + "/" + kManifest))
    return llvm::createStringError(
        "'" + name +
        "': expected a package or nothing to replace, got "
        "something without a " +
        kManifest);
  SmallString<128> temporary;
  fs::createUniquePath(name + ".tmp-%%%%%%", temporary, /*MakeAbsolute=*/false);
  if ((error = fs::create_directory(temporary, /*IgnoreExisting=*/false,
                                    fs::all_all)))
    return llvm::createFileError(name, error);
  return Folder(name, temporary);
}

llvm::Error Folder::write(StringRef name, StringRef contents) const {
  std::error_code error;
  llvm::raw_fd_ostream os(file(name), error);
  os << contents;
  os.close();
  if (os.has_error()) {
    error = os.error();
    os.clear_error();
  }
  return error ? llvm::createFileError(file(name), error)
               : llvm::Error::success();
}

llvm::Error Folder::copy(StringRef source) const {
  if (std::error_code error =
          fs::copy_file(source, file(path::filename(source))))
    return llvm::createFileError(source, error);
  return llvm::Error::success();
}

llvm::Error Folder::commit() {
  // A folder that is not empty cannot be renamed over: make way first.
  std::string replaced = temporary + ".old";
  bool replaces = !fs::rename(path, replaced);
  if (std::error_code error = fs::rename(temporary, path)) {
    if (replaces)
      fs::rename(replaced, path);
    return llvm::createFileError(path, error);
  }
  temporary.clear();
  fs::remove_directories(replaced);
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// The files
//===----------------------------------------------------------------------===//

/// Makes the record of a file.
static llvm::Expected<FileRecord> makeRecord(StringRef file) {
  auto buffer = llvm::MemoryBuffer::getFile(file);
  if (!buffer)
    return llvm::createFileError(file, buffer.getError());
  StringRef contents = (*buffer)->getBuffer();
  return FileRecord{path::filename(file).str(), contents.size(),
                    ::moe::runtime::hashBytes(contents)};
}

/// Links module.so, with the OpenMP runtime beside it if it needs it.
static llvm::Error linkModule(StringRef object, const Folder &folder) {
  std::string library = folder.file(kModule);
  if (llvm::Error error = linkSharedLibrary(object, library))
    return error;
  auto buffer = llvm::MemoryBuffer::getFile(library);
  if (!buffer)
    return llvm::createFileError(library, buffer.getError());
  // The names of needed libraries are in its table of dynamic strings.
  StringRef openMP = getOpenMPLibrary();
  if ((*buffer)->getBuffer().contains(path::filename(openMP)))
    return folder.copy(openMP);
  return llvm::Error::success();
}

/// Makes module.h and, last, the manifest.
static llvm::Error describe(const ModuleInterface &interface,
                            PackageContents contents,
                            ArrayRef<std::string> sources,
                            const Folder &folder) {
  auto module = makeRecord(folder.file(kModule));
  if (!module)
    return module.takeError();
  contents.module = std::move(*module);
  for (StringRef source : sources) {
    auto record = makeRecord(source);
    if (!record)
      return record.takeError();
    contents.sources.push_back(std::move(*record));
  }
  if (llvm::Error error = folder.write(kHeader, makeHeader(interface)))
    return error;
  auto manifest = makeManifest(interface, contents);
  if (!manifest)
    return manifest.takeError();
  return folder.write(kManifest, *manifest);
}

LogicalResult mlir::moe::writePackage(ModuleOp module,
                                      const PackageOptions &options,
                                      TimingScope &timing) {
  // What is no fault of the IR has no location in it.
  auto fail = [&](llvm::Error error) {
    return emitError(UnknownLoc::get(module.getContext()),
                     llvm::toString(std::move(error)));
  };
  FailureOr<ModuleInterface> interface = ModuleInterface::get(module);
  if (failed(interface))
    return failure();
  llvm::Expected<Folder> folder = Folder::create(options.path);
  if (!folder)
    return fail(folder.takeError());

  PackageContents contents;
  TimingScope phase = timing.nest("LLVM");
  llvm::LLVMContext context;
  FailureOr<TranslatedModule> translated =
      translateToLLVMIR(module, *interface, context);
  if (failed(translated))
    return failure();
  contents.buildId = translated->buildId;
  std::string object = emitObject(std::move(*translated));

  phase = timing.nest("link");
  if (llvm::Error error = linkModule(object, *folder))
    return fail(std::move(error));

  phase = timing.nest("parameters");
  if (!interface->parameters.empty() && !options.checkpoint.empty()) {
    FailureOr<WeightsFile> weights =
        runParameterProgram(module, options.checkpoint, folder->file(kWeights));
    if (failed(weights))
      return failure();
    contents.weights = {kWeights.str(), weights->bytes, weights->headerHash};
    contents.deviations = std::move(weights->deviations);
  }

  phase = timing.nest("manifest");
  for (const std::string &file : options.copies)
    if (llvm::Error error = folder->copy(file))
      return fail(std::move(error));
  if (llvm::Error error =
          describe(*interface, std::move(contents), options.sources, *folder))
    return fail(std::move(error));
  if (llvm::Error error = folder->commit())
    return fail(std::move(error));
  return success();
}

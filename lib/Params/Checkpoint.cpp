//===- Checkpoint.cpp - The tensors of a checkpoint folder ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/Params/Checkpoint.h"
#include "moe/Params/Archive.h"

#include "Runtime/DType.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <set>

using namespace mlir;
using namespace mlir::moe;
namespace runtime = ::moe::runtime;

static std::string join(StringRef folder, StringRef file) {
  SmallString<128> path(folder);
  llvm::sys::path::append(path, file);
  return path.str().str();
}

/// The files that an index lists: `{"weight_map": {"<tensor>": "<file>"}}`.
static llvm::Expected<std::set<std::string>>
readIndex(const std::string &path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!buffer)
    return llvm::createFileError(path, buffer.getError());
  auto index = llvm::json::parse((*buffer)->getBuffer());
  if (!index)
    return llvm::createFileError(path, index.takeError());
  llvm::json::Object *root = index->getAsObject();
  llvm::json::Object *map = root ? root->getObject("weight_map") : nullptr;
  if (!map)
    return llvm::createStringError(path + ": expected an object 'weight_map'");
  std::set<std::string> files;
  for (const auto &[tensor, file] : *map) {
    std::optional<StringRef> name = file.getAsString();
    if (!name)
      return llvm::createStringError(path + ": tensor '" + StringRef(tensor) +
                                     "': expected the name of a file");
    files.insert(name->str());
  }
  return files;
}

llvm::Expected<Checkpoint> Checkpoint::open(StringRef folder) {
  std::set<std::string> files = {"model.safetensors"};
  std::string index = join(folder, "model.safetensors.index.json");
  if (llvm::sys::fs::exists(index)) {
    auto listed = readIndex(index);
    if (!listed)
      return listed.takeError();
    files = std::move(*listed);
  }
  Checkpoint checkpoint(folder);
  for (const std::string &file : files)
    if (llvm::Error error = checkpoint.add(join(folder, file)))
      return std::move(error);
  return std::move(checkpoint);
}

llvm::Error Checkpoint::add(StringRef file) {
  auto archive = runtime::SafeTensors::open(file.str());
  if (!archive)
    return llvm::createStringError(archive.error().message);
  archives.push_back(std::move(*archive));
  for (const runtime::ArchiveTensor &tensor : archives.back().tensors()) {
    auto [it, isNew] =
        tensors.try_emplace(tensor.name, Tensor{&tensor, file.str()});
    if (!isNew)
      return llvm::createStringError(file + ": tensor '" + tensor.name +
                                     "' is in " + it->second.file + ", too");
  }
  return llvm::Error::success();
}

/// A type as messages show it: `bf16[2,3]`.
static std::string describe(StringRef dtype, ArrayRef<int64_t> shape) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << dtype << '[';
  llvm::interleave(shape, os, ",");
  os << ']';
  return text;
}

llvm::Expected<StringRef> Checkpoint::read(StringRef name,
                                           RankedTensorType type) {
  auto it = tensors.find(name);
  if (it == tensors.end())
    return llvm::createStringError(folder + ": expected a tensor '" + name +
                                   "', got none");
  Tensor &tensor = it->second;
  Type element = type.getElementType();
  std::string expected = describe(
      element.isInteger(8) ? "u8" : getDTypeName(element), type.getShape());
  std::string actual = describe(runtime::describe(tensor.contents->dtype)->name,
                                tensor.contents->shape);
  if (actual != expected)
    return llvm::createStringError(tensor.file + ": tensor '" + name +
                                   "': expected " + expected + ", got " +
                                   actual);
  tensor.isRead = true;
  return StringRef(tensor.contents->data);
}

llvm::Error Checkpoint::checkAllRead() const {
  std::set<StringRef> unread;
  for (const auto &[name, tensor] : tensors)
    if (!tensor.isRead)
      unread.insert(name);
  if (unread.empty())
    return llvm::Error::success();
  constexpr size_t kShown = 3;
  std::string names = llvm::join(
      unread.begin(),
      std::next(unread.begin(), std::min(kShown, unread.size())), "', '");
  return llvm::createStringError(
      folder + ": expected that the model reads every tensor, got " +
      llvm::Twine(unread.size()) + " that it does not read: '" + names + "'" +
      (unread.size() > kShown ? ", ..." : ""));
}

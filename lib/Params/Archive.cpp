//===- Archive.cpp - Writer of weights archives ---------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/Params/Archive.h"
#include "moe-runtime/module_abi.h"

#include "Runtime/DType.h"

#include "mlir/Support/DebugStringHelper.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/JSON.h"

#include <unistd.h>

using namespace mlir;
using namespace mlir::moe;
namespace fs = llvm::sys::fs;
namespace json = llvm::json;

/// Alignment of the data in the file, in bytes.
static constexpr uint64_t kPage = 4096;

/// Bytes of the length that precedes the header.
static constexpr uint64_t kLengthBytes = 8;

std::string mlir::moe::getDTypeName(Type elementType) {
  if (isa<Float8E4M3FNType>(elementType))
    return "f8_e4m3";
  return debugString(elementType);
}

uint64_t mlir::moe::getNumBytes(RankedTensorType type) {
  return type.getNumElements() * (type.getElementTypeBitWidth() / 8);
}

/// Bytes of an entry in the archive.
static uint64_t getStoredBytes(const ArchiveEntry &entry) {
  return llvm::alignTo(getNumBytes(entry.type), MOE_ALIGNMENT);
}

/// Whether an entry is stored as bytes that only its metadata describe.
static bool isStoredAsBytes(const ArchiveEntry &entry) {
  return !entry.layout.empty() ||
         getStoredBytes(entry) != getNumBytes(entry.type);
}

/// The logical type and layout: `bf16[2,3]`, `f32[1,4,32] pack of [@up]`.
static std::string describe(const ArchiveEntry &entry) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << getDTypeName(entry.type.getElementType()) << '[';
  llvm::interleave(entry.type.getShape(), os, ",");
  os << ']';
  if (!entry.layout.empty())
    os << ' ' << entry.layout;
  return text;
}

/// Writes the header's JSON: the metadata, then each tensor in the order of the
/// data.
static void writeHeader(json::OStream &json, ArrayRef<ArchiveEntry> entries) {
  uint64_t begin = 0;
  json.object([&] {
    json.attributeObject("__metadata__", [&] {
      for (const ArchiveEntry &entry : entries)
        if (isStoredAsBytes(entry))
          json.attribute(entry.name, describe(entry));
    });
    for (const ArchiveEntry &entry : entries) {
      uint64_t bytes = getStoredBytes(entry);
      auto *dtype =
          ::moe::runtime::dtypeNamed(getDTypeName(entry.type.getElementType()));
      bool asBytes = isStoredAsBytes(entry);
      json.attributeObject(entry.name, [&] {
        json.attribute("dtype", asBytes ? "U8" : dtype->archiveName);
        json.attribute("shape", asBytes ? json::Array{bytes}
                                        : json::Array(entry.type.getShape()));
        json.attribute("data_offsets", json::Array{begin, begin + bytes});
      });
      begin += bytes;
    }
  });
}

ArchiveWriter::ArchiveWriter(StringRef path, ArrayRef<ArchiveEntry> entries)
    : path(path) {
  header.resize(kLengthBytes);
  llvm::raw_string_ostream os(header);
  json::OStream json(os);
  writeHeader(json, entries);
  header.resize(llvm::alignTo(header.size(), kPage), ' ');
  llvm::support::endian::write64le(header.data(), header.size() - kLengthBytes);
  size = header.size();
  for (const ArchiveEntry &entry : entries) {
    offsets.push_back(size);
    size += getStoredBytes(entry);
  }
}

llvm::Expected<ArchiveWriter>
ArchiveWriter::create(StringRef path, ArrayRef<ArchiveEntry> entries) {
  ArchiveWriter writer(path, entries);
  auto file = fs::TempFile::create(path + ".tmp-%%%%%%");
  if (!file)
    return llvm::createFileError(path, file.takeError());
  writer.file = std::move(*file);
  // Bytes that nobody writes, the padding, are zero.
  if (std::error_code error = fs::resize_file(writer.file->FD, writer.size))
    return llvm::createFileError(path, error);
  if (llvm::Error error = writer.writeAt(0, writer.header))
    return std::move(error);
  return std::move(writer);
}

ArchiveWriter::~ArchiveWriter() {
  if (file)
    llvm::consumeError(file->discard());
}

llvm::Error ArchiveWriter::write(size_t entry, uint64_t offset,
                                 StringRef bytes) const {
  return writeAt(offsets[entry] + offset, bytes);
}

llvm::Error ArchiveWriter::writeAt(uint64_t offset, StringRef bytes) const {
  while (!bytes.empty()) {
    ssize_t written = ::pwrite(file->FD, bytes.data(), bytes.size(), offset);
    if (written < 0)
      return llvm::createFileError(path, llvm::errnoAsErrorCode());
    bytes = bytes.drop_front(written);
    offset += written;
  }
  return llvm::Error::success();
}

llvm::Error ArchiveWriter::commit() {
  fs::TempFile complete = std::move(*file);
  file.reset();
  if (llvm::Error error = complete.keep(path))
    return llvm::createFileError(path, std::move(error));
  return llvm::Error::success();
}

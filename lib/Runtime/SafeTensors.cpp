//===- SafeTensors.cpp - Reader of safetensors archives -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/SafeTensors.h"
#include "Runtime/DType.h"
#include "Runtime/Json.h"

#include <algorithm>

using namespace moe::runtime;

/// Longest header that the format allows, in bytes.
static constexpr uint64_t kMaxHeader = 100'000'000;

/// Parses `"<name>": {"dtype": _, "shape": [_], "data_offsets": [_, _]}`, with
/// offsets from the start of `data`.
static Expected<ArchiveTensor> parseTensor(const std::string &name,
                                           const Json &json,
                                           std::string_view data,
                                           const std::string &archive) {
  std::string where = archive + ": tensor '" + name + "'";
  std::optional<Error> error;
  JsonValue entry(json, where, error);
  auto integers = [&](const char *key) {
    std::vector<int64_t> result;
    for (const JsonValue &element : entry[key].elements())
      result.push_back(element.integer(/*least=*/0));
    return result;
  };
  const DType *dtype = dtypeNamedInArchive(entry["dtype"].string());
  if (!dtype)
    entry["dtype"].expected("a known type");
  std::vector<int64_t> shape = integers("shape");
  std::vector<int64_t> offsets = integers("data_offsets");
  if (offsets.size() != 2)
    entry["data_offsets"].expected("two offsets");
  if (error)
    return *error;

  int64_t begin = offsets[0], end = offsets[1];
  if (begin > end || uint64_t(end) > data.size())
    return invalidPackage(where, ": expected offsets within ", data.size(),
                          " bytes of data, got [", begin, ", ", end, "]");
  auto bytes = arrayBytes(dtype->value, shape.data(), shape.size());
  if (!bytes)
    return invalidPackage(where, ": expected a shape of less than 2^63 bytes");
  if (*bytes != end - begin)
    return invalidPackage(where, ": expected ", *bytes,
                          " bytes for its type and shape, got ", end - begin);
  return ArchiveTensor{name, dtype->value, std::move(shape),
                       data.substr(begin, end - begin)};
}

/// Sorts tensors by their data and checks that they cover all of it, once.
static std::optional<Error> checkCoverage(std::vector<ArchiveTensor> &tensors,
                                          std::string_view data,
                                          const std::string &where) {
  auto begin = [](const ArchiveTensor &tensor) { return tensor.data.data(); };
  auto end = [](const ArchiveTensor &tensor) {
    return tensor.data.data() + tensor.data.size();
  };
  std::sort(tensors.begin(), tensors.end(),
            [&](const ArchiveTensor &a, const ArchiveTensor &b) {
              return std::pair(begin(a), end(a)) < std::pair(begin(b), end(b));
            });
  const char *covered = data.data();
  for (const ArchiveTensor &tensor : tensors) {
    if (begin(tensor) != covered)
      return invalidPackage(
          where, ": tensor '", tensor.name, "': expected its data at offset ",
          covered - data.data(), ", where data before it ends, got ",
          begin(tensor) - data.data());
    covered = end(tensor);
  }
  if (covered != data.data() + data.size())
    return invalidPackage(where, ": expected ", covered - data.data(),
                          " bytes of data, got ", data.size());
  return std::nullopt;
}

Expected<ArchiveHeader> moe::runtime::parseArchive(std::string_view bytes,
                                                   const std::string &where) {
  constexpr size_t kLengthBytes = 8;
  if (bytes.size() < kLengthBytes)
    return invalidPackage(where, ": expected at least ", kLengthBytes,
                          " bytes, got ", bytes.size());
  uint64_t length = 0;
  for (size_t i = kLengthBytes; i-- > 0;)
    length = length << 8 | static_cast<unsigned char>(bytes[i]);
  if (length > kMaxHeader)
    return invalidPackage(where, ": expected a header of at most ", kMaxHeader,
                          " bytes, got ", length);
  if (length > bytes.size() - kLengthBytes)
    return invalidPackage(where, ": expected a header of ", length,
                          " bytes, got ", bytes.size() - kLengthBytes,
                          " bytes in the file");

  ArchiveHeader header;
  header.bytes = bytes.substr(0, kLengthBytes + length);
  std::string_view data = bytes.substr(header.bytes.size());
  auto json = parseJsonObject(header.bytes.substr(kLengthBytes), where);
  if (!json)
    return json.error();
  for (const auto &[name, entry] : json->items()) {
    if (name == "__metadata__")
      continue;
    auto tensor = parseTensor(name, entry, data, where);
    if (!tensor)
      return tensor.error();
    header.tensors.push_back(std::move(*tensor));
  }
  if (auto error = checkCoverage(header.tensors, data, where))
    return *error;
  return header;
}

Expected<SafeTensors> SafeTensors::open(const std::string &path) {
  auto file = MappedFile::open(path);
  if (!file)
    return file.error();
  auto header = parseArchive(file->bytes(), path);
  if (!header)
    return header.error();
  return SafeTensors(std::move(*file), std::move(*header));
}

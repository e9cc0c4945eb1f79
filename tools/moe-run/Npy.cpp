//===- Npy.cpp - NumPy files ----------------------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Npy.h"
#include "Failure.h"

#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>
#include <unistd.h>

using namespace moe::run;

namespace {
struct TypeName {
  moe_dtype dtype;
  std::string_view descr;
};

/// The Python dictionary that describes an array.
struct Header {
  std::optional<std::string_view> descr;
  std::optional<bool> fortranOrder;
  std::optional<std::vector<int64_t>> shape;
};
} // namespace

// NumPy's type strings; the first of a type is the one that is written.
static constexpr TypeName kTypes[] = {
    {MOE_F64, "<f8"},  {MOE_F32, "<f4"}, {MOE_F16, "<f2"},  {MOE_BF16, "<V2"},
    {MOE_BF16, "|V2"}, {MOE_I64, "<i8"}, {MOE_I32, "<i4"},  {MOE_I16, "<i2"},
    {MOE_I8, "|i1"},   {MOE_U8, "|u1"},  {MOE_BOOL, "|b1"},
};

static constexpr std::string_view kMagic = "\x93NUMPY";

/// Elements times bytes of one; nothing if it exceeds the range of int64_t.
static std::optional<int64_t> arrayBytes(moe_dtype dtype,
                                         const std::vector<int64_t> &shape) {
  int64_t bytes = moe_dtype_size(dtype);
  for (int64_t extent : shape)
    if (__builtin_mul_overflow(bytes, extent, &bytes))
      return std::nullopt;
  return bytes;
}

Array Array::zeros(moe_dtype dtype, std::vector<int64_t> shape) {
  std::optional<int64_t> bytes = arrayBytes(dtype, shape);
  if (!bytes)
    fail("array: expected less than 2^63 bytes");
  return {dtype, std::move(shape), std::vector<char>(*bytes)};
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {
/// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
class HeaderParser {
public:
  HeaderParser(std::string_view text, const std::string &path)
      : rest(text), path(path) {}

  Header parse() {
    Header header;
    expect("{");
    while (!accept("}")) {
      std::string_view key = parseString();
      expect(":");
      if (key == "descr")
        header.descr = parseString();
      else if (key == "fortran_order")
        header.fortranOrder = parseBool();
      else if (key == "shape")
        header.shape = parseTuple();
      else
        fail(path, ": expected descr, fortran_order or shape, got '", key, "'");
      if (!accept(",")) {
        expect("}");
        break;
      }
    }
    if (!header.descr || !header.fortranOrder || !header.shape)
      fail(path, ": expected descr, fortran_order and shape in its header");
    return header;
  }

private:
  /// Skips blanks, then `token` if it is next.
  bool accept(std::string_view token) {
    rest.remove_prefix(std::min(rest.find_first_not_of(" \n"), rest.size()));
    if (rest.substr(0, token.size()) != token)
      return false;
    rest.remove_prefix(token.size());
    return true;
  }

  void expect(std::string_view token) {
    if (!accept(token))
      fail(path, ": expected '", token, "' in its header, got '",
           rest.substr(0, 10), "'");
  }

  std::string_view parseString() {
    expect("'");
    std::string_view text = rest.substr(0, rest.find('\''));
    rest.remove_prefix(text.size());
    expect("'");
    return text;
  }

  bool parseBool() {
    if (accept("True"))
      return true;
    expect("False");
    return false;
  }

  std::vector<int64_t> parseTuple() {
    std::vector<int64_t> extents;
    expect("(");
    while (!accept(")")) {
      int64_t extent = -1;
      auto [end, code] =
          std::from_chars(rest.data(), rest.data() + rest.size(), extent);
      if (code != std::errc() || extent < 0)
        fail(path, ": expected an extent in its header, got '",
             rest.substr(0, 10), "'");
      rest.remove_prefix(end - rest.data());
      extents.push_back(extent);
      if (!accept(",")) {
        expect(")");
        break;
      }
    }
    return extents;
  }

  std::string_view rest;
  const std::string &path;
};
} // namespace

static moe_dtype parseType(std::string_view descr, const std::string &path) {
  for (const TypeName &type : kTypes)
    if (type.descr == descr)
      return type.dtype;
  fail(path, ": expected a little-endian type that is known, got '", descr,
       "'");
}

Array moe::run::readNpy(const std::string &path) {
  std::error_code code;
  int64_t fileBytes = std::filesystem::file_size(path, code);
  std::ifstream stream(path, std::ios::binary);
  if (code || !stream)
    fail(path, ": ", code ? code.message() : strerror(errno));
  auto read = [&](char *data, int64_t bytes) {
    if (!stream.read(data, bytes))
      fail(path, ": expected ", bytes, " more bytes, got the end of the file");
  };

  char start[8];
  read(start, sizeof(start));
  int major = start[kMagic.size()];
  if (std::string_view(start, kMagic.size()) != kMagic)
    fail(path, ": expected a .npy file");
  if (major != 1 && major != 2)
    fail(path, ": expected version 1 or 2 of the .npy format, got ", major);
  unsigned char length[4] = {};
  read(reinterpret_cast<char *>(length), major == 1 ? 2 : 4);
  int64_t headerBytes =
      length[0] | length[1] << 8 | length[2] << 16 | int64_t(length[3]) << 24;
  int64_t left = fileBytes - stream.tellg();
  if (headerBytes > left)
    fail(path, ": expected a header of ", headerBytes, " bytes, got ", left);
  std::string text(headerBytes, '\0');
  read(text.data(), headerBytes);

  Header header = HeaderParser(text, path).parse();
  moe_dtype dtype = parseType(*header.descr, path);
  if (*header.fortranOrder)
    fail(path, ": expected row-major order, got Fortran order");
  std::optional<int64_t> bytes = arrayBytes(dtype, *header.shape);
  left -= headerBytes;
  if (!bytes || *bytes != left)
    fail(path, ": expected ", bytes ? std::to_string(*bytes) : "2^63 or more",
         " bytes of data for its shape, got ", left);
  Array array = Array::zeros(dtype, *header.shape);
  read(array.data.data(), array.data.size());
  return array;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static std::string makeHeader(const Array &array) {
  std::ostringstream dictionary;
  for (const TypeName &type : kTypes)
    if (type.dtype == array.dtype) {
      dictionary << "{'descr': '" << type.descr << "'";
      break;
    }
  dictionary << ", 'fortran_order': False, 'shape': (";
  for (int64_t extent : array.shape)
    dictionary << extent << ", ";
  dictionary << "), }";

  // Blanks and a newline end the header, so that the data is aligned.
  constexpr size_t kAlignment = 64;
  std::string text = dictionary.str() + "\n";
  size_t before = kMagic.size() + 4;
  size_t padding = -(before + text.size()) % kAlignment;
  text.insert(text.size() - 1, padding, ' ');
  std::string header(kMagic);
  header += {'\1', '\0'};
  header += {char(text.size() & 0xff), char(text.size() >> 8)};
  return header + text;
}

void moe::run::writeNpy(const std::string &path, const Array &array) {
  std::string temporary = path + ".tmp" + std::to_string(getpid());
  std::ofstream stream(temporary, std::ios::binary);
  std::string header = makeHeader(array);
  stream.write(header.data(), header.size());
  stream.write(array.data.data(), array.data.size());
  stream.close();
  if (!stream || std::rename(temporary.c_str(), path.c_str()) != 0) {
    int code = errno;
    std::remove(temporary.c_str());
    fail(path, ": cannot write: ", strerror(code));
  }
}

//===- NpyTest.cpp - NumPy files, good and bad ----------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Npy.h"
#include "Failure.h"
#include "TestPackage.h"

#include <filesystem>
#include <gtest/gtest.h>

using namespace moe::run;
using namespace moe::test;

/// A .npy file of version 1 with that dictionary.
static std::string makeNpy(const std::string &dictionary,
                           const std::string &data) {
  std::string start = "\x93NUMPY\1";
  start += {'\0', char(dictionary.size()), '\0'};
  return start + dictionary + data;
}

/// The message with which a file of `contents` is refused, without its name.
static std::string refusal(const std::string &contents) {
  TemporaryFolder folder;
  writeFile(folder.path("x.npy"), contents);
  try {
    readNpy(folder.path("x.npy"));
    return "";
  } catch (const Failure &failure) {
    return std::string(failure.what()).substr(folder.path("x.npy").size() + 2);
  }
}

TEST(Npy, WritesWhatItReads) {
  TemporaryFolder folder;
  for (moe_dtype dtype : {MOE_F64, MOE_F32, MOE_F16, MOE_BF16, MOE_I64, MOE_I32,
                          MOE_I16, MOE_I8, MOE_U8, MOE_BOOL})
    for (const std::vector<int64_t> &shape :
         {std::vector<int64_t>{}, {3}, {0, 4}, {2, 1, 5}}) {
      Array array = Array::zeros(dtype, shape);
      for (char &byte : array.data)
        byte = &byte - array.data.data();
      writeNpy(folder.path("x.npy"), array);
      EXPECT_EQ(
          (readFile(folder.path("x.npy")).size() - array.data.size()) % 64, 0u);
      Array read = readNpy(folder.path("x.npy"));
      EXPECT_EQ(read.dtype, dtype);
      EXPECT_EQ(read.shape, shape);
      EXPECT_EQ(read.data, array.data);
    }
}

TEST(Npy, ReadsVersion2) {
  TemporaryFolder folder;
  std::string text = "{'shape': (2,), 'fortran_order': False, 'descr': '|u1'}";
  std::string start = "\x93NUMPY\2";
  start += {'\0', char(text.size()), '\0', '\0', '\0'};
  writeFile(folder.path("x.npy"), start + text + "ab");
  EXPECT_EQ(readNpy(folder.path("x.npy")).data, (std::vector<char>{'a', 'b'}));
}

TEST(Npy, RefusesWrongHeaders) {
  EXPECT_EQ(refusal(""), "expected 8 more bytes, got the end of the file");
  EXPECT_EQ(refusal("not a numpy file"), "expected a .npy file");
  EXPECT_EQ(refusal(std::string("\x93NUMPY\3\0", 8)),
            "expected version 1 or 2 of the .npy format, got 3");
  EXPECT_EQ(refusal(std::string("\x93NUMPY\1\0\x40\0{", 11)),
            "expected a header of 64 bytes, got 1");
  EXPECT_EQ(refusal(makeNpy("{'descr': ", "")),
            "expected ''' in its header, got ''");
  EXPECT_EQ(refusal(makeNpy("{'descr': '<f4', }", "")),
            "expected descr, fortran_order and shape in its header");
  EXPECT_EQ(refusal(makeNpy("{'color': 1}", "")),
            "expected descr, fortran_order or shape, got 'color'");
}

TEST(Npy, RefusesWhatItCannotRepresent) {
  auto withHeader = [](const char *descr, const char *order, const char *shape,
                       size_t bytes) {
    return refusal(makeNpy(std::string("{'descr': '") + descr +
                               "', 'fortran_order': " + order +
                               ", 'shape': " + shape + ", }",
                           std::string(bytes, 'x')));
  };
  EXPECT_EQ(withHeader("<f4", "False", "(1,)", 4), "");
  EXPECT_EQ(withHeader(">f4", "False", "(1,)", 4),
            "expected a little-endian type that is known, got '>f4'");
  EXPECT_EQ(withHeader("<c8", "False", "(1,)", 8),
            "expected a little-endian type that is known, got '<c8'");
  EXPECT_EQ(withHeader("<f4", "True", "(1,)", 4),
            "expected row-major order, got Fortran order");
  EXPECT_EQ(withHeader("<f4", "False", "(-1,)", 4),
            "expected an extent in its header, got '-1,), }'");
  EXPECT_EQ(withHeader("<f4", "False", "(2,)", 4),
            "expected 8 bytes of data for its shape, got 4");
  EXPECT_EQ(withHeader("<f4", "False", "(1,)", 5),
            "expected 4 bytes of data for its shape, got 5");
  EXPECT_EQ(withHeader("<f4", "False", "(9223372036854775807,)", 4),
            "expected 2^63 or more bytes of data for its shape, got 4");
}

TEST(Npy, LeavesNothingBehindWhereItCannotWrite) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder.path("x.npy"));
  EXPECT_THROW(writeNpy(folder.path("x.npy"), Array::zeros(MOE_F32, {1})),
               Failure);
  EXPECT_THROW(writeNpy(folder.path("none/x.npy"), Array::zeros(MOE_F32, {1})),
               Failure);
  size_t entries =
      std::distance(std::filesystem::directory_iterator(folder.path()), {});
  EXPECT_EQ(entries, 1u);
}

//===- SafeTensorsTest.cpp - Archives, good and bad -----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/SafeTensors.h"
#include "TestPackage.h"

#include <gtest/gtest.h>
#include <random>

using namespace moe::runtime;
using namespace moe::test;

static const std::string kHeader =
    R"({"__metadata__": {"format": "pt"},)"
    R"("b": {"dtype": "F32", "shape": [2, 3], "data_offsets": [8, 32]},)"
    R"("a": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]},)"
    R"("none": {"dtype": "I8", "shape": [3, 0], "data_offsets": [8, 8]}} )";

/// The message with which `archive` is refused; "" if it is not.
static std::string refusal(const std::string &archive) {
  auto header = parseArchive(archive, "w");
  return header ? "" : header.error().message;
}

/// The same for an archive of one tensor, with 8 bytes of data.
static std::string refusalOf(const std::string &tensor) {
  return refusal(makeArchive("{\"t\": " + tensor + "}", std::string(8, 'x')));
}

TEST(SafeTensors, ReadsTensorsInOrderOfData) {
  std::string archive = makeArchive(kHeader, std::string(32, 'x'));
  auto header = parseArchive(archive, "w");
  ASSERT_TRUE(header) << header.error().message;
  ASSERT_EQ(header->tensors.size(), 3u);
  const ArchiveTensor &a = header->tensors[0], &b = header->tensors[2];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.dtype, MOE_BF16);
  EXPECT_EQ(a.data.size(), 8u);
  EXPECT_EQ(b.name, "b");
  EXPECT_EQ(b.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(b.data.data(), archive.data() + 8 + kHeader.size() + 8);
}

TEST(SafeTensors, RefusesTruncatedFiles) {
  EXPECT_EQ(refusal(""), "w: expected at least 8 bytes, got 0");
  EXPECT_EQ(refusal("1234567"), "w: expected at least 8 bytes, got 7");
  std::string archive = makeArchive(kHeader, std::string(32, 'x'));
  for (size_t size = 0; size < archive.size(); ++size)
    EXPECT_NE(refusal(archive.substr(0, size)), "") << size;
}

TEST(SafeTensors, RefusesLyingLengths) {
  std::string archive = makeArchive("{}", "");
  archive[0] = 3;
  EXPECT_EQ(refusal(archive),
            "w: expected a header of 3 bytes, got 2 bytes in the file");
  archive[7] = '\xff';
  EXPECT_EQ(refusal(archive), "w: expected a header of at most 100000000 bytes,"
                              " got 18374686479671623683");
}

TEST(SafeTensors, RefusesInvalidJson) {
  EXPECT_EQ(refusal(makeArchive("{\"t\": ", "")), "w: invalid JSON");
  EXPECT_EQ(refusal(makeArchive("", "")), "w: invalid JSON");
  EXPECT_EQ(refusal(makeArchive("{} {}", "")), "w: invalid JSON");
  EXPECT_EQ(refusal(makeArchive("[1]", "")),
            "w: expected a JSON object, got array");
  EXPECT_EQ(refusal(makeArchive(std::string(100000, '['), "")),
            "w: invalid JSON");
  EXPECT_EQ(refusal(makeArchive(R"({"t": 1, "t": 2})", "")),
            "w: duplicate name 't'");
  EXPECT_EQ(refusal(makeArchive(R"({"": 1, "": 2})", "")),
            "w: duplicate name ''");
}

TEST(SafeTensors, RefusesWrongEntries) {
  EXPECT_EQ(refusalOf("1"), "w: tensor 't': expected an object, got 1");
  EXPECT_EQ(refusalOf(R"({"shape": [8], "data_offsets": [0, 8]})"),
            "w: tensor 't': dtype: expected a value, got nothing");
  EXPECT_EQ(
      refusalOf(R"({"dtype": "F7", "shape": [8], "data_offsets": [0, 8]})"),
      "w: tensor 't': dtype: expected a known type, got \"F7\"");
  EXPECT_EQ(
      refusalOf(R"({"dtype": "I8", "shape": [-8], "data_offsets": [0, 8]})"),
      "w: tensor 't': shape[0]: expected a non-negative integer, got -8");
  EXPECT_EQ(
      refusalOf(R"({"dtype": "I8", "shape": [8.0], "data_offsets": [0, 8]})"),
      "w: tensor 't': shape[0]: expected a non-negative integer, got 8.0");
  EXPECT_EQ(refusalOf(R"({"dtype": "I8", "shape": [8], "data_offsets": [8]})"),
            "w: tensor 't': data_offsets: expected two offsets, got array");
}

TEST(SafeTensors, RefusesNumbersThatOverflow) {
  EXPECT_EQ(refusalOf(R"({"dtype": "I8", "shape": [18446744073709551615],
                          "data_offsets": [0, 8]})"),
            "w: tensor 't': shape[0]: expected a non-negative integer, got "
            "18446744073709551615");
  EXPECT_EQ(refusalOf(R"({"dtype": "I8", "shape": [99999999999999999999],
                          "data_offsets": [0, 8]})"),
            "w: tensor 't': shape[0]: expected a non-negative integer, got "
            "1e+20");
  // 2^61 elements of 8 bytes.
  EXPECT_EQ(refusalOf(R"({"dtype": "F64", "shape": [2305843009213693952],
                          "data_offsets": [0, 0]})"),
            "w: tensor 't': expected a shape of less than 2^63 bytes");
}

TEST(SafeTensors, RefusesWrongOffsets) {
  EXPECT_EQ(
      refusalOf(R"({"dtype": "I8", "shape": [9], "data_offsets": [0, 9]})"),
      "w: tensor 't': expected offsets within 8 bytes of data, got [0, 9]");
  EXPECT_EQ(
      refusalOf(R"({"dtype": "I8", "shape": [8], "data_offsets": [8, 0]})"),
      "w: tensor 't': expected offsets within 8 bytes of data, got [8, 0]");
  EXPECT_EQ(
      refusalOf(R"({"dtype": "F32", "shape": [3], "data_offsets": [0, 8]})"),
      "w: tensor 't': expected 12 bytes for its type and shape, got 8");
  EXPECT_EQ(
      refusalOf(R"({"dtype": "I8", "shape": [7], "data_offsets": [0, 7]})"),
      "w: expected 7 bytes of data, got 8");
  EXPECT_EQ(
      refusalOf(R"({"dtype": "I8", "shape": [7], "data_offsets": [1, 8]})"),
      "w: tensor 't': expected its data at offset 0, where data before it "
      "ends, got 1");
  EXPECT_EQ(
      refusalOf(R"({"dtype": "I8", "shape": [8], "data_offsets": [0, 8]},
                "u": {"dtype": "I8", "shape": [4], "data_offsets": [4, 8]})"),
      "w: tensor 'u': expected its data at offset 8, where data before it "
      "ends, got 4");
}

TEST(SafeTensors, RefusesFilesThatCannotBeMapped) {
  TemporaryFolder folder;
  auto missing = SafeTensors::open(folder.path("none"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message,
            folder.path("none") + ": No such file or directory");
  EXPECT_FALSE(SafeTensors::open(folder.path()));
}

// Whatever the bytes are, the reader answers, and what it accepts lies within
// the file.
TEST(SafeTensors, SurvivesRandomCorruption) {
  const std::string archive = makeArchive(kHeader, std::string(32, 'x'));
  std::mt19937 random(0);
  auto below = [&](size_t end) { return random() % end; };
  for (int round = 0; round < 20000; ++round) {
    std::string corrupt = archive;
    for (size_t i = 0, changes = 1 + below(4); i < changes; ++i)
      switch (below(3)) {
      case 0:
        corrupt[below(corrupt.size())] = char(random());
        break;
      case 1:
        corrupt.erase(below(corrupt.size() - 8), 1 + below(4));
        break;
      case 2:
        corrupt.insert(below(corrupt.size()), 1,
                       "0123456789,:{}[]\"-"[below(18)]);
        break;
      }
    auto header = parseArchive(corrupt, "w");
    if (!header)
      continue;
    for (const ArchiveTensor &tensor : header->tensors) {
      EXPECT_GE(tensor.data.data(), corrupt.data());
      EXPECT_LE(tensor.data.data() + tensor.data.size(),
                corrupt.data() + corrupt.size());
    }
  }
}

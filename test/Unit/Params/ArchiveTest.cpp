//===- ArchiveTest.cpp - Archives that were written -----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/Params/Archive.h"

#include "Runtime/SafeTensors.h"
#include "TestFiles.h"

#include "mlir/IR/Builders.h"
#include "llvm/Support/JSON.h"

#include <gtest/gtest.h>

using namespace mlir;
using namespace mlir::moe;
using namespace ::moe::test;
namespace runtime = ::moe::runtime;

namespace {
struct ArchiveTest : testing::Test {
  RankedTensorType type(ArrayRef<int64_t> shape, Type element) {
    return RankedTensorType::get(shape, element);
  }

  MLIRContext context;
  Builder b{&context};
  TemporaryFolder folder;
  std::string path = folder.path("w.safetensors");
};
} // namespace

TEST_F(ArchiveTest, DataIsAlignedAndPadded) {
  ArchiveEntry entries[] = {
      {"odd", type({3}, b.getF32Type()), ""},
      {"even", type({4, 8}, b.getBF16Type()), ""},
      {"packed", type({1, 1, 32}, b.getF32Type()), "pack of [@w]"}};
  auto archive = ArchiveWriter::create(path, entries);
  ASSERT_TRUE(bool(archive));
  ASSERT_FALSE(archive->write(1, 4, "even"));
  ASSERT_FALSE(archive->write(0, 0, "odd"));
  ASSERT_FALSE(archive->commit());
  EXPECT_EQ(archive->getSize(), 4096u + 64 + 64 + 128);

  std::string bytes = readFile(path);
  ASSERT_EQ(bytes.size(), archive->getSize());
  EXPECT_EQ(archive->getHeader(), bytes.substr(0, 4096));
  EXPECT_EQ(bytes.substr(4096),
            "odd" + std::string(65, '\0') + "even" + std::string(184, '\0'));

  auto header = runtime::parseArchive(bytes, path);
  ASSERT_TRUE(bool(header)) << header.error().message;
  ASSERT_EQ(header->tensors.size(), 3u);
  EXPECT_EQ(header->tensors[0].dtype, MOE_U8);
  EXPECT_EQ(header->tensors[0].shape, std::vector<int64_t>{64});
  EXPECT_EQ(header->tensors[1].dtype, MOE_BF16);
  EXPECT_EQ(header->tensors[1].shape, (std::vector<int64_t>{4, 8}));
  EXPECT_EQ(header->tensors[2].dtype, MOE_U8);
  EXPECT_EQ(header->tensors[2].shape, std::vector<int64_t>{128});

  auto json = llvm::json::parse(archive->getHeader().drop_front(8));
  ASSERT_TRUE(bool(json));
  EXPECT_EQ(*json->getAsObject()->getObject("__metadata__"),
            (llvm::json::Object{{"odd", "f32[3]"},
                                {"packed", "f32[1,1,32] pack of [@w]"}}));
}

TEST_F(ArchiveTest, LeavesNothingUnlessCommitted) {
  writeFile(path, "before");
  {
    auto archive = ArchiveWriter::create(path, {});
    ASSERT_TRUE(bool(archive));
  }
  EXPECT_EQ(readFile(path), "before");
  EXPECT_FALSE(llvm::sys::fs::remove(path));
  EXPECT_FALSE(llvm::sys::fs::remove(folder.path()))
      << "expected no other file";
}

TEST_F(ArchiveTest, NamesTheFileThatCannotBeWritten) {
  auto archive = ArchiveWriter::create(folder.path("no/w"), {});
  EXPECT_EQ(llvm::toString(archive.takeError()),
            "'" + folder.path("no/w") + "': No such file or directory");
}

//===- ParameterProgramTest.cpp - From checkpoints to archives ------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/Params/ParameterProgram.h"

#include "Runtime/Hash.h"
#include "Runtime/SafeTensors.h"
#include "TestFiles.h"

#include "mlir/Parser/Parser.h"

#include <cstring>
#include <gtest/gtest.h>

using namespace mlir;
using namespace mlir::moe;
using namespace ::moe::test;
namespace runtime = ::moe::runtime;

namespace {
/// Runs programs on checkpoints in a temporary folder.
struct ParameterProgramTest : testing::Test {
  ParameterProgramTest() { context.loadDialect<MoEDialect>(); }

  /// Adds a file with `{"name": {"dtype": _, "shape": _, "data_offsets": _}}`.
  void addFile(const std::string &name, const std::string &header,
               const std::string &data) {
    writeFile(folder.path(name), makeArchive(header, data));
  }

  /// Runs a program and returns the data of the archive, or the error.
  std::string run(StringRef program) {
    std::string message;
    ScopedDiagnosticHandler handler(
        &context, [&](Diagnostic &diagnostic) { message = diagnostic.str(); });
    auto module = parseSourceString<ModuleOp>(program, &context);
    if (!module)
      return message;
    std::string path = folder.path("weights");
    FailureOr<WeightsFile> weights =
        runParameterProgram(*module, folder.path(), path);
    if (failed(weights))
      return message;
    std::string bytes = readFile(path);
    EXPECT_EQ(weights->bytes, bytes.size());
    EXPECT_EQ(weights->headerHash, runtime::hashBytes(bytes.substr(0, 4096)));
    return bytes.substr(4096);
  }

  MLIRContext context;
  TemporaryFolder folder;
};

/// Data padded as archives pad it.
std::string pad(std::string data) {
  data.resize(llvm::alignTo(data.size(), 64));
  return data;
}
} // namespace

TEST_F(ParameterProgramTest, StacksInOrderOfTheIndices) {
  addFile("model.safetensors", R"({
    "l.0.e.0": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
    "l.0.e.1": {"dtype": "BF16", "shape": [2], "data_offsets": [4, 8]},
    "l.3.e.0": {"dtype": "BF16", "shape": [2], "data_offsets": [8, 12]},
    "l.3.e.1": {"dtype": "BF16", "shape": [2], "data_offsets": [12, 16]}})",
          "aaaabbbbccccdddd");
  EXPECT_EQ(run(R"(module attributes {moe.parameters = [@w]} {
    moe.parameter @w : tensor<2x2x2xbf16> from "l.{0}.e.{1}" at [[0, 3], [0, 1]]
  })"),
            pad("aaaabbbbccccdddd"));
  EXPECT_EQ(run(R"(module attributes {moe.parameters = [@w]} {
    moe.parameter @w : tensor<2x2x2xbf16> from "l.{1}.e.{0}" at [[0, 1], [3, 0]]
  })"),
            pad("ccccaaaaddddbbbb"));
}

TEST_F(ParameterProgramTest, FollowsTheTableAndReadsAllShards) {
  addFile("1.safetensors",
          R"({"a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}})",
          "aaaa");
  addFile("2.safetensors",
          R"({"b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})",
          "bbbb");
  writeFile(folder.path("model.safetensors.index.json"),
            R"({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}})");
  EXPECT_EQ(run(R"(module attributes {moe.parameters = [@b, @a]} {
    moe.parameter @a : tensor<f32> from "a"
    moe.parameter @b : tensor<1xf32> from "b"
    moe.parameter @unused : tensor<1xf32> from "c"
  })"),
            pad("bbbb") + pad("aaaa"));
}

TEST_F(ParameterProgramTest, PacksMatricesOfFusedTensors) {
  // Two layers, each with a tensor [experts = 2, out = 1, in = 1].
  addFile("model.safetensors", R"({
    "l.0": {"dtype": "F32", "shape": [2, 1, 1], "data_offsets": [0, 8]},
    "l.1": {"dtype": "F32", "shape": [2, 1, 1], "data_offsets": [8, 16]},
    "m.0": {"dtype": "F32", "shape": [2, 1, 1], "data_offsets": [16, 24]},
    "m.1": {"dtype": "F32", "shape": [2, 1, 1], "data_offsets": [24, 32]}})",
          "aaaabbbbccccddddAAAABBBBCCCCDDDD");
  std::string data = run(R"(module attributes {moe.parameters = [@p]} {
    moe.parameter @l : tensor<2x2x1x1xf32> from "l.{0}"
    moe.parameter @m : tensor<2x2x1x1xf32> from "m.{0}"
    moe.parameter @p : tensor<2x2x1x1x32xf32> pack of [@l, @m]
  })");
  std::string half(60, '\0');
  EXPECT_EQ(data, "aaaa" + half + "AAAA" + half + "bbbb" + half + "BBBB" +
                      half + "cccc" + half + "CCCC" + half + "dddd" + half +
                      "DDDD" + half);
}

TEST_F(ParameterProgramTest, PacksPanelAfterPanel) {
  std::string data;
  for (uint16_t i = 0; i < 40; ++i)
    data.append(reinterpret_cast<const char *>(&i), sizeof(i));
  addFile("model.safetensors",
          R"({"w": {"dtype": "BF16", "shape": [40, 1], )"
          R"("data_offsets": [0, 80]}})",
          data);
  std::string packed = run(R"(module attributes {moe.parameters = [@p]} {
    moe.parameter @w : tensor<40x1xbf16> from "w"
    moe.parameter @p : tensor<2x1x2x16x16x2xbf16> pack of [@w]
  })");
  ASSERT_EQ(packed.size(), 2u * 2048);
  auto at = [&](size_t element) {
    uint16_t value;
    std::memcpy(&value, &packed[2 * element], sizeof(value));
    return value;
  };
  EXPECT_EQ(at(2), 1);
  EXPECT_EQ(at(512 + 2), 17);
  EXPECT_EQ(at(1024), 32);
  EXPECT_EQ(at(1024 + 14), 39);
  EXPECT_EQ(at(1024 + 16), 0);
}

TEST_F(ParameterProgramTest, NamesFileAndTensorOfWhatIsWrong) {
  addFile("model.safetensors",
          R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})",
          "aaaaaaaa");
  std::string file = folder.path("model.safetensors");
  EXPECT_EQ(run(R"(module attributes {moe.parameters = [@w]} {
    moe.parameter @w : tensor<2x2xf32> from "a.{0}"
  })"),
            folder.path() + ": expected a tensor 'a.0', got none");
  EXPECT_EQ(run(R"(module attributes {moe.parameters = [@w]} {
    moe.parameter @w : tensor<2xbf16> from "a"
  })"),
            file + ": tensor 'a': expected bf16[2], got f32[2]");
  EXPECT_EQ(run(R"(module attributes {moe.parameters = [@w]} {
    moe.parameter @w : tensor<1x2xf32> from "a"
  })"),
            file + ": tensor 'a': expected f32[1,2], got f32[2]");
  std::string archive = readFile(file);
  writeFile(file, archive.substr(0, archive.size() - 1));
  EXPECT_EQ(run(R"(module attributes {moe.parameters = [@w]} {
    moe.parameter @w : tensor<2xf32> from "a"
  })"),
            file + ": tensor 'a': expected offsets within 7 bytes of data, "
                   "got [0, 8]");
}

TEST_F(ParameterProgramTest, RefusesBrokenIndices) {
  std::string file = folder.path("model.safetensors.index.json");
  StringRef program = "module {}";
  writeFile(file, "{}");
  EXPECT_EQ(run(program), file + ": expected an object 'weight_map'");
  writeFile(file, R"({"weight_map": {"a": 1}})");
  EXPECT_EQ(run(program), file + ": tensor 'a': expected the name of a file");
  writeFile(file, R"({"weight_map": {"a": "1", "b": "2"}})");
  for (const char *name : {"1", "2"})
    addFile(name,
            R"({"a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}})",
            "");
  EXPECT_EQ(run(program), folder.path("2") + ": tensor 'a' is in " +
                              folder.path("1") + ", too");
}

TEST_F(ParameterProgramTest, CompleteModelsReadEveryTensor) {
  addFile("model.safetensors", R"({
    "a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]},
    "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    "c": {"dtype": "U8", "shape": [0], "data_offsets": [4, 4]}})",
          "bbbb");
  StringRef parameter = R"(moe.parameter @b : tensor<1xf32> from "b")";
  auto program = [&](StringRef complete) {
    return ("module attributes {moe.parameters = [@b], moe.model = {complete "
            "= " +
            complete + "}} {" + parameter + "}")
        .str();
  };
  EXPECT_EQ(run(program("false")), pad("bbbb"));
  EXPECT_EQ(run(program("true")),
            folder.path() + ": expected that the model reads every tensor, got "
                            "2 that it does not read: 'a', 'c'");
}

TEST_F(ParameterProgramTest, TableNamesParameters) {
  EXPECT_EQ(run("module attributes {moe.parameters = [@w]} {}"),
            "expected 'moe.parameters' to name parameters, got @w");
}

//===- PackageTest.cpp - Packages that the runtime opens ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/Export/Package.h"
#include "moe-runtime/moe.h"
#include "moe/Export/LLVMIR.h"

#include "TestFiles.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Parser/Parser.h"

#include <filesystem>
#include <gtest/gtest.h>

using namespace mlir;
using namespace mlir::moe;
using namespace ::moe::test;
namespace filesystem = std::filesystem;

/// y[0] = x[0] + w[0], by a function that any x86-64 runs.
static constexpr llvm::StringLiteral kAdd = R"(module attributes {
  llvm.target_triple = "x86_64-unknown-linux-gnu",
  moe.functions = [{name = "add", arguments = [
    {name = "x", kind = "input", dtype = "f32", shape = [1]},
    {name = "y", kind = "output", dtype = "f32", shape = [1]}]}],
  moe.levels = [{isa = "v1", features = []}],
  moe.parameters = [@w],
  moe.compute = "bf16",
  moe.stages = ["layer: add"],
  moe.model = {eos = [2, 3], bos, tied = true, eps = 0.5 : f64}
} {
  moe.parameter @w : tensor<1xf32> from "w"

  llvm.func @_mlir_ciface_add.v1(%call: !llvm.ptr, %x: !llvm.ptr, %y: !llvm.ptr) {
    %parameters = llvm.load %call : !llvm.ptr -> !llvm.ptr
    %w = llvm.load %parameters : !llvm.ptr -> !llvm.ptr
    %xField = llvm.getelementptr %x[1] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
    %yField = llvm.getelementptr %y[1] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
    %xData = llvm.load %xField : !llvm.ptr -> !llvm.ptr
    %yData = llvm.load %yField : !llvm.ptr -> !llvm.ptr
    %a = llvm.load %xData : !llvm.ptr -> f32
    %b = llvm.load %w : !llvm.ptr -> f32
    %sum = llvm.fadd %a, %b : f32
    llvm.store %sum, %yData : f32, !llvm.ptr
    llvm.return
  }
  llvm.func @_mlir_ciface_add.v1.workspace(%call: !llvm.ptr, %x: !llvm.ptr, %y: !llvm.ptr) -> i64 {
    %bytes = llvm.mlir.constant(0 : i64) : i64
    llvm.return %bytes : i64
  }
})";

namespace {
/// Writes packages into a temporary folder, which holds a checkpoint, too.
struct PackageTest : testing::Test {
  PackageTest() {
    DialectRegistry registry;
    registry.insert<LLVM::LLVMDialect, MoEDialect>();
    registerTranslations(registry);
    context.appendDialectRegistry(registry);
    float w = 40;
    writeFile(
        folder.path("model.safetensors"),
        makeArchive(
            R"({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})",
            std::string(reinterpret_cast<char *>(&w), sizeof(w))));
  }

  /// Writes the package of a program and returns the error's message, or "".
  std::string write(StringRef program, bool withWeights = true) {
    std::string message;
    ScopedDiagnosticHandler handler(
        &context, [&](Diagnostic &diagnostic) { message = diagnostic.str(); });
    auto module = parseSourceString<ModuleOp>(program, &context);
    TimingScope noTiming;
    if (module &&
        succeeded(writePackage(
            *module,
            {path, withWeights ? folder.path() : std::string(), {}, copies},
            noTiming)))
      return "";
    EXPECT_NE(message, "");
    return message;
  }

  /// Names in the temporary folder.
  std::set<std::string> getFiles() {
    std::set<std::string> names;
    for (const auto &entry : filesystem::directory_iterator(folder.path()))
      names.insert(entry.path().filename());
    return names;
  }

  MLIRContext context;
  TemporaryFolder folder;
  std::string path = folder.path("package");
  std::vector<std::string> copies;
};
} // namespace

TEST_F(PackageTest, RuntimeOpensAndCallsIt) {
  ASSERT_EQ(write(kAdd), "");
  moe_model *model;
  ASSERT_EQ(moe_model_open(path.c_str(), nullptr, &model), MOE_OK)
      << moe_error();
  const moe_model_info *info = moe_model_describe(model);
  EXPECT_STREQ(info->compiler, "moe-mlir " MOE_VERSION);
  EXPECT_STREQ(info->isa, "v1");
  EXPECT_STREQ(info->compute, "bf16");
  EXPECT_STREQ(info->json, R"({"bos":null,"eos":[2,3],"eps":0.5,"tied":true})");

  moe_state *state;
  ASSERT_EQ(moe_state_create(model, 0, 0, 1, 1, &state), MOE_OK) << moe_error();
  float x = 2, y = 0;
  int64_t shape = 1;
  moe_tensor in = {MOE_F32, 1, &shape, &x}, out = {MOE_F32, 1, &shape, &y};
  EXPECT_EQ(moe_call(state, moe_find_function(model, "add"), &in, 1, &out, 1),
            MOE_OK)
      << moe_error();
  EXPECT_EQ(y, 42);
  EXPECT_EQ(moe_trace_start(state, 1), MOE_OK) << moe_error();
  moe_state_destroy(state);
  moe_model_close(model);
}

TEST_F(PackageTest, HasNoWeightsWithoutCheckpoint) {
  ASSERT_EQ(write(kAdd, /*withWeights=*/false), "");
  EXPECT_FALSE(filesystem::exists(path + "/weights.safetensors"));
  EXPECT_NE(readFile(path + "/manifest.json").find("\"weights\": null"),
            std::string::npos);
}

TEST_F(PackageTest, HoldsCopies) {
  copies = {folder.path("notes.txt")};
  EXPECT_EQ(write(kAdd), "'" + copies[0] + "': No such file or directory");
  EXPECT_FALSE(filesystem::exists(path));
  writeFile(copies[0], "first");
  ASSERT_EQ(write(kAdd), "");
  EXPECT_EQ(readFile(path + "/notes.txt"), "first");
}

TEST_F(PackageTest, IsReproducible) {
  ASSERT_EQ(write(kAdd), "");
  std::string manifest = readFile(path + "/manifest.json");
  ASSERT_EQ(write(kAdd), "");
  EXPECT_EQ(readFile(path + "/manifest.json"), manifest);
}

TEST_F(PackageTest, ReplacesPackagesOnly) {
  ASSERT_EQ(write(kAdd), "");
  writeFile(path + "/old", "");
  ASSERT_EQ(write(kAdd), "");
  EXPECT_FALSE(filesystem::exists(path + "/old"));

  filesystem::remove(path + "/manifest.json");
  std::string refusal =
      "'" + path +
      "': expected a package or nothing to replace, got something without a "
      "manifest.json";
  EXPECT_EQ(write(kAdd), refusal);
  filesystem::remove_all(path);
  writeFile(path, "");
  EXPECT_EQ(write(kAdd), refusal);
  filesystem::remove(path);
  filesystem::create_directory(path);
  EXPECT_EQ(write(kAdd), "");
  EXPECT_EQ(getFiles(),
            (std::set<std::string>{"model.safetensors", "package"}));
}

TEST_F(PackageTest, LeavesNothingWhenItFails) {
  ASSERT_EQ(write(kAdd), "");
  std::string manifest = readFile(path + "/manifest.json");
  filesystem::remove(folder.path("model.safetensors"));
  EXPECT_EQ(write(kAdd),
            folder.path("model.safetensors") + ": No such file or directory");
  EXPECT_EQ(readFile(path + "/manifest.json"), manifest);
  EXPECT_EQ(getFiles(), std::set<std::string>{"package"});
}

TEST_F(PackageTest, NamesAnUnwritablePath) {
  path = folder.path("no/package");
  EXPECT_EQ(write(kAdd), "'" + path + "': No such file or directory");
}

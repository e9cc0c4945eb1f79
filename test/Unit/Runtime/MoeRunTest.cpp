//===- MoeRunTest.cpp - The programs, as they are run ---------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Npy.h"
#include "TestPackage.h"

#include <cstdio>
#include <cstring>
#include <gtest/gtest.h>

using namespace moe::run;
using namespace moe::test;

namespace {
struct Result {
  int status;
  std::string output; ///< standard output and error
};

class MoeRun : public testing::Test {
protected:
  void SetUp() override { TestPackage().write(folder); }

  static Result execute(const std::string &command) {
    FILE *pipe = popen((command + " 2>&1").c_str(), "r");
    Result result;
    for (int c; (c = fgetc(pipe)) != EOF;)
      result.output += char(c);
    int status = pclose(pipe);
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return result;
  }

  Result run(const std::string &arguments) {
    return execute("cd " + folder.path() + " && " MOE_RUN " . " + arguments);
  }

  /// Expects one message and exit code 1.
  void expectFailure(const std::string &arguments, const std::string &message) {
    Result result = run(arguments);
    EXPECT_EQ(result.status, 1);
    EXPECT_EQ(result.output, "moe-run: " + message + "\n");
  }

  TemporaryFolder folder;
};
} // namespace

TEST_F(MoeRun, ListsFunctions) {
  Result result = run("");
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.output,
            "# compiler hand 0, compute f32, isa v2, 1 parameters\n"
            "forward(tokens: i32[N], cu: i32[B+1], past: i32[B], slot: i32[B], "
            "rows: i32[R]) -> (logits: f32[R, 7]) state (cache: "
            "i32[slots, max_len])\n"
            "block(x: f32[T, 4]) -> (y: f32[T, 4])\n");
}

TEST_F(MoeRun, Generates) {
  // 6: sum 6 + shift 5 = 4; 4: sum 10 + shift 2 = 5; 5: 15 = 1; 1: 16 + 1 = 3,
  // which ends it.
  EXPECT_EQ(run("--prompt-ids 6 --max-new-tokens 2").output, "4 5\n");
  EXPECT_EQ(run("--prompt-ids 6 --max-new-tokens 12").output, "4 5 1 3\n");
  EXPECT_EQ(run("--prompt-ids=6,4 --max-new-tokens=1 --threads 1").output,
            "5\n");
  EXPECT_EQ(run("--prompt-ids 6 --max-new-tokens 2 --weights map").output,
            "4 5\n");
  Result timed = run("--prompt-ids 6 --max-new-tokens 3 --time");
  EXPECT_NE(timed.output.find("prompt: 1 tokens in "), std::string::npos);
  EXPECT_NE(timed.output.find("decode: median "), std::string::npos);
}

TEST_F(MoeRun, Traces) {
  EXPECT_EQ(run("--prompt-ids 6 --max-new-tokens 2 --trace t.json").output,
            "4 5\n");
  auto trace = nlohmann::json::parse(readFile(folder.path("t.json")));
  EXPECT_EQ(trace["traceEvents"].size(), 4u); // Two stages in two calls.

  writeNpy(folder.path("x.npy"), Array::zeros(MOE_F32, {2, 4}));
  EXPECT_EQ(run("block --input x=x.npy --trace t.json").output, "");
  trace = nlohmann::json::parse(readFile(folder.path("t.json")));
  EXPECT_EQ(trace["traceEvents"][0]["name"], "block");
  expectFailure("--trace t.json",
                "--trace: expected a function or --prompt-ids");
}

TEST_F(MoeRun, RefusesPrompts) {
  expectFailure("--prompt-ids 7 --max-new-tokens 2",
                "forward: tokens[0]: expected an index from 0 below 7, got 7");
  expectFailure("--prompt-ids 1,x",
                "--prompt-ids: expected an integer of at least -2147483648, "
                "got 'x'");
  expectFailure("--prompt-ids 1,1,1 --max-new-tokens 15",
                "expected at most 16 tokens (max_len), got 3 of the prompt and "
                "14 generated ones");
  expectFailure("--prompt-ids 1 --max-new-tokens 1 --max-len 17",
                "max_len: expected a number from 0 to 16, got 17");
}

TEST_F(MoeRun, CallsFunctions) {
  Array x = Array::zeros(MOE_F32, {2, 4});
  const float values[] = {1, 2, 3, 4, 5, 6, 7, 8};
  memcpy(x.data.data(), values, sizeof(values));
  writeNpy(folder.path("x.npy"), x);
  Result result = run("block --input x=x.npy --output y=y.npy --time");
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.output.rfind("block: median ", 0), 0u) << result.output;
  Array y = readNpy(folder.path("y.npy"));
  ASSERT_EQ(y.shape, (std::vector<int64_t>{2, 4}));
  EXPECT_EQ(reinterpret_cast<float *>(y.data.data())[7], 16);
}

TEST_F(MoeRun, CallsFunctionsWithState) {
  auto write = [&](const char *name, std::vector<int32_t> values) {
    Array array = Array::zeros(MOE_I32, {int64_t(values.size())});
    memcpy(array.data.data(), values.data(), array.data.size());
    writeNpy(folder.path(name + std::string(".npy")), array);
  };
  write("tokens", {6, 4});
  write("cu", {0, 2});
  write("past", {0});
  write("slot", {0});
  write("rows", {1});
  std::string arguments = "forward --output logits=logits.npy";
  for (const char *name : {"tokens", "cu", "past", "slot", "rows"})
    arguments += std::string(" --input ") + name + "=" + name + ".npy";
  EXPECT_EQ(run(arguments).output, "");
  Array logits = readNpy(folder.path("logits.npy"));
  EXPECT_EQ(reinterpret_cast<float *>(logits.data.data())[5], 1);
  write("slot", {1});
  expectFailure(arguments,
                "forward: slot[0]: expected an index from 0 below 1, got 1");
}

TEST_F(MoeRun, RefusesArrays) {
  writeNpy(folder.path("x.npy"), Array::zeros(MOE_F16, {2, 4}));
  writeNpy(folder.path("good.npy"), Array::zeros(MOE_F32, {2, 4}));
  expectFailure("block --input x=x.npy",
                "function 'block': input 'x': expected type f32, got f16");
  expectFailure("block", "expected --input x=FILE");
  expectFailure("block --input x=none.npy",
                "none.npy: No such file or directory");
  expectFailure("block --input z=x.npy",
                "--input: expected a name of the function's, got 'z'");
  expectFailure("blok --input x=x.npy",
                "expected one of the functions forward, block, got 'blok'");
  expectFailure("block --input x=good.npy --output y=none/y.npy",
                "none/y.npy: cannot write: No such file or directory");
}

TEST_F(MoeRun, RefusesCommandLines) {
  expectFailure("--fast", "unknown option '--fast'; see --help");
  expectFailure("--threads", "--threads: expected a value");
  expectFailure("--threads 0",
                "--threads: expected an integer of at least 1, got '0'");
  expectFailure("block more", "expected a package and at most one function, "
                              "got 3 names; see --help");
  expectFailure("--weights huge",
                "--weights: expected copy or map, got 'huge'");
  expectFailure("--isa v9", "./module.so: level v9 needs features that this "
                            "CPU lacks: warp-drive");
}

TEST_F(MoeRun, TellsItsVersion) {
  EXPECT_EQ(run("--version").output.rfind("moe-run ", 0), 0u);
  EXPECT_EQ(run("--help").output.rfind("usage: moe-run ", 0), 0u);
}

TEST_F(MoeRun, ExampleGenerates) {
  EXPECT_EQ(execute(MOE_EXAMPLE_GENERATE " " + folder.path() + " 6").output,
            "4 5 1 3 \n");
}

TEST(Library, ExportsTheApiAndNeedsLibcOnly) {
  auto lines = [](const char *command) {
    FILE *pipe = popen(command, "r");
    std::vector<std::string> result;
    for (char line[512]; fgets(line, sizeof(line), pipe);)
      result.push_back(line);
    pclose(pipe);
    return result;
  };
  auto symbols = lines("nm -D --defined-only --format=posix " MOE_LIBRARY);
  EXPECT_FALSE(symbols.empty());
  for (const std::string &symbol : symbols)
    EXPECT_EQ(symbol.rfind("moe_", 0), 0u) << symbol;
  for (const std::string &line : lines("readelf -d " MOE_LIBRARY))
    if (line.find("(NEEDED)") != std::string::npos) {
      bool allowed = false;
      for (const char *name : {"libc.so", "libm.so", "libdl.so", "ld-linux"})
        allowed |= line.find(name) != std::string::npos;
      EXPECT_TRUE(allowed) << line;
    }
}

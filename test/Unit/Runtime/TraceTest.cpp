//===- TraceTest.cpp - Traces of calls ------------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestPackage.h"
#include "moe-runtime/moe.h"

#include <chrono>
#include <gtest/gtest.h>

using namespace moe::test;

namespace {
class Trace : public testing::Test {
protected:
  void SetUp() override { open(TestPackage()); }
  void TearDown() override {
    moe_state_destroy(state);
    moe_model_close(model);
  }

  void open(const TestPackage &package) {
    TearDown();
    package.write(folder);
    ASSERT_EQ(moe_model_open(folder.path().c_str(), nullptr, &model), MOE_OK)
        << moe_error();
    ASSERT_EQ(moe_state_create(model, 2, 10, 8, /*threads=*/3, &state), MOE_OK);
  }

  /// Calls forward for two sequences.
  void call() {
    const int32_t tokens[] = {1, 2}, cu[] = {0, 1, 2}, past[] = {0, 0},
                  slot[] = {0, 1}, row = 1;
    float logits[7];
    EXPECT_EQ(moe_forward(state, 2, tokens, 2, cu, past, slot, 1, &row, logits),
              MOE_OK);
  }

  nlohmann::json write() {
    std::string path = folder.path("trace.json");
    EXPECT_EQ(moe_trace_write(state, path.c_str()), MOE_OK) << moe_error();
    return nlohmann::json::parse(readFile(path));
  }

  TemporaryFolder folder;
  moe_model *model = nullptr;
  moe_state *state = nullptr;
};
} // namespace

TEST_F(Trace, HasStagesWithinCalls) {
  ASSERT_EQ(moe_trace_start(state, 100), MOE_OK) << moe_error();
  auto start = std::chrono::steady_clock::now();
  call();
  call();
  std::chrono::duration<double, std::micro> elapsed =
      std::chrono::steady_clock::now() - start;
  nlohmann::json json = write();
  EXPECT_EQ(json["otherData"]["isa"], "v2");
  EXPECT_EQ(json["otherData"]["threads"], 3);
  EXPECT_EQ(json["otherData"]["lost_events"], 0);

  const nlohmann::json &events = json["traceEvents"];
  ASSERT_EQ(events.size(), 6u);
  double end = 0;
  for (size_t i : {0, 3}) {
    const nlohmann::json &whole = events[i + 2];
    EXPECT_EQ(whole["name"], "forward");
    EXPECT_FALSE(whole.contains("args"));
    double wholeEnd = double(whole["ts"]) + double(whole["dur"]);
    EXPECT_GE(whole["ts"], end);
    end = whole["ts"];
    for (size_t k : {0, 1}) {
      const nlohmann::json &stage = events[i + k];
      EXPECT_EQ(stage["name"], "prefix \"sums\"");
      EXPECT_EQ(stage["ph"], "X");
      EXPECT_EQ(stage["args"]["iteration"], k);
      EXPECT_GE(stage["ts"], end);
      end = double(stage["ts"]) + double(stage["dur"]);
    }
    // Times are printed to a nanosecond.
    EXPECT_LE(end, wholeEnd + 2e-3);
    end = wholeEnd;
  }
  // The clock's own rate, to a thousandth, plus what a print rounds.
  double first = events[2]["ts"];
  EXPECT_LE(end - first, elapsed.count() * 1.001 + 0.01);
}

TEST_F(Trace, TicksAreMicroseconds) {
  ASSERT_EQ(moe_trace_start(state, 100), MOE_OK);
  call();
  auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start <
         std::chrono::milliseconds(20)) {
  }
  call();
  std::chrono::duration<double, std::micro> elapsed =
      std::chrono::steady_clock::now() - start;
  nlohmann::json events = write()["traceEvents"];
  double between = double(events[5]["ts"]) + double(events[5]["dur"]) -
                   double(events[2]["ts"]) - double(events[2]["dur"]);
  // Both contain the 20 ms and the second call; the rest is the way out of and
  // into calls, unless the system runs something else meanwhile.
  EXPECT_GE(between, 20000 * 0.999);
  EXPECT_LE(between, elapsed.count() * 1.001 + 2000);
}

TEST_F(Trace, KeepsTheLastEvents) {
  ASSERT_EQ(moe_trace_start(state, 3), MOE_OK); // Four fit.
  call();
  call();
  nlohmann::json json = write();
  EXPECT_EQ(json["otherData"]["lost_events"], 2);
  const nlohmann::json &events = json["traceEvents"];
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0]["name"], "forward");
  EXPECT_EQ(events[3]["name"], "forward");
  EXPECT_LT(events[0]["ts"], events[3]["ts"]);
  ASSERT_EQ(moe_trace_start(state, 3), MOE_OK);
  EXPECT_EQ(write()["traceEvents"].size(), 0u);
}

TEST_F(Trace, Refuses) {
  EXPECT_EQ(moe_trace_write(state, "/dev/null"), MOE_INVALID_ARGUMENT);
  EXPECT_STREQ(moe_error(),
               "trace: expected moe_trace_start to be called first");
  EXPECT_EQ(moe_trace_start(state, 0), MOE_INVALID_ARGUMENT);
  EXPECT_STREQ(moe_error(),
               "events: expected a number from 1 to 1073741824, got 0");
  ASSERT_EQ(moe_trace_start(state, 1), MOE_OK);
  EXPECT_EQ(moe_trace_write(state, "/none/trace.json"), MOE_INVALID_ARGUMENT);
  EXPECT_STREQ(moe_error(),
               "/none/trace.json: cannot write: No such file or directory");
  EXPECT_EQ(moe_trace_write(state, "/dev/full"), MOE_INVALID_ARGUMENT);
  EXPECT_STREQ(moe_error(), "/dev/full: cannot write: No space left on device");

  TestPackage package;
  package.manifest["stages"] = nlohmann::json::array();
  open(package);
  EXPECT_EQ(moe_trace_start(state, 1), MOE_INVALID_ARGUMENT);
  EXPECT_STREQ(moe_error(), "trace: expected a package compiled with "
                            "trace=true, got one without stages");
}

//===- CallTest.cpp - States and calls ------------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestPackage.h"
#include "moe-runtime/moe.h"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>

using namespace moe::test;

//===----------------------------------------------------------------------===//
// Every allocation of this process, the runtime's included, passes here.
//===----------------------------------------------------------------------===//

static std::atomic<int64_t> numAllocations = 0;

#define INTERPOSE extern "C" __attribute__((visibility("default")))
INTERPOSE void *__libc_malloc(size_t);
INTERPOSE void *__libc_calloc(size_t, size_t);
INTERPOSE void *__libc_realloc(void *, size_t);
INTERPOSE void *malloc(size_t bytes) {
  ++numAllocations;
  return __libc_malloc(bytes);
}
INTERPOSE void *calloc(size_t count, size_t bytes) {
  ++numAllocations;
  return __libc_calloc(count, bytes);
}
INTERPOSE void *realloc(void *old, size_t bytes) {
  ++numAllocations;
  return __libc_realloc(old, bytes);
}

namespace {
class Call : public testing::Test {
protected:
  void SetUp() override {
    TestPackage().write(folder);
    ASSERT_EQ(moe_model_open(folder.path().c_str(), nullptr, &model), MOE_OK)
        << moe_error();
    state = makeState();
  }
  void TearDown() override {
    moe_state_destroy(state);
    moe_model_close(model);
  }

  moe_state *makeState() {
    moe_state *created = nullptr;
    EXPECT_EQ(moe_state_create(model, /*slots=*/3, /*max_len=*/10,
                               /*max_tokens=*/8, /*threads=*/2, &created),
              MOE_OK)
        << moe_error();
    return created;
  }

  /// The token after `tokens`, which follow `past` others in `slot`.
  int next(moe_state *state, std::vector<int32_t> tokens, int32_t past,
           int32_t slot) {
    int32_t n = tokens.size(), cu[] = {0, n}, last = n - 1;
    float logits[7];
    EXPECT_EQ(moe_forward(state, n, tokens.data(), 1, cu, &past, &slot, 1,
                          &last, logits),
              MOE_OK)
        << moe_error();
    return std::max_element(logits, logits + 7) - logits;
  }

  /// The message with which a call of forward is refused.
  std::string refusal(std::vector<int32_t> tokens, std::vector<int32_t> cu,
                      std::vector<int32_t> past, std::vector<int32_t> slot,
                      std::vector<int32_t> rows) {
    std::vector<float> logits(rows.size() * 7);
    moe_status status = moe_forward(
        state, tokens.size(), tokens.data(), past.size(), cu.data(),
        past.data(), slot.data(), rows.size(), rows.data(), logits.data());
    EXPECT_TRUE(status == MOE_OK || status == MOE_INVALID_ARGUMENT);
    return status == MOE_OK ? "" : moe_error();
  }

  /// The message with which block is refused for arrays of these types and
  /// shapes.
  std::string blockRefusal(moe_dtype xType, std::vector<int64_t> xShape,
                           moe_dtype yType, std::vector<int64_t> yShape) {
    static float data[64];
    moe_tensor x{xType, xShape.size(), xShape.data(), data};
    moe_tensor y{yType, yShape.size(), yShape.data(), data};
    return moe_call(state, moe_find_function(model, "block"), &x, 1, &y, 1) ==
                   MOE_OK
               ? ""
               : moe_error();
  }

  TemporaryFolder folder;
  moe_model *model = nullptr;
  moe_state *state = nullptr;
};
} // namespace

TEST_F(Call, StatesTheirSize) {
  // A cache of 3 x 10 i32 and a workspace of 8 x 4 f32.
  EXPECT_EQ(moe_state_bytes(state), 128 + 128);
}

TEST_F(Call, RefusesStatesOutOfRange) {
  moe_state *none = nullptr;
  auto refusal = [&](int64_t slots, int64_t maxLen, int64_t maxTokens,
                     int64_t threads) -> std::string {
    return moe_state_create(model, slots, maxLen, maxTokens, threads, &none) ==
                   MOE_OK
               ? ""
               : moe_error();
  };
  EXPECT_EQ(refusal(-1, 1, 1, 1),
            "slots: expected a number from 0 to 2147483647, got -1");
  EXPECT_EQ(refusal(1, 17, 1, 1),
            "max_len: expected a number from 0 to 16, got 17");
  EXPECT_EQ(refusal(1, 1, int64_t(1) << 40, 1),
            "max_tokens: expected a number from 0 to 2147483647, got "
            "1099511627776");
  EXPECT_EQ(refusal(1, 1, 1, -1),
            "threads: expected a number from 1 to 4096, got -1");
  EXPECT_EQ(none, nullptr);
}

TEST_F(Call, RemembersSequences) {
  // (sum of tokens + shift[last]) mod 7, shift = 0 1 0 0 2 0 5
  EXPECT_EQ(next(state, {1, 2}, 0, 0), 3);
  EXPECT_EQ(next(state, {4}, 2, 0), (1 + 2 + 4 + 2) % 7);
  EXPECT_EQ(next(state, {6}, 0, 2), (6 + 5) % 7);
  EXPECT_EQ(next(state, {1}, 3, 0), (1 + 2 + 4 + 1 + 1) % 7);
}

TEST_F(Call, MixesSequences) {
  next(state, {1, 2}, 0, 1);
  // One sequence goes on, one is empty, one begins.
  std::vector<int32_t> tokens = {4, 6, 6}, cu = {0, 1, 1, 3}, past = {2, 0, 0},
                       slot = {1, 0, 2}, rows = {2, 0};
  std::vector<float> logits(2 * 7, -1);
  ASSERT_EQ(moe_forward(state, 3, tokens.data(), 3, cu.data(), past.data(),
                        slot.data(), 2, rows.data(), logits.data()),
            MOE_OK)
      << moe_error();
  EXPECT_EQ(logits[(6 + 6 + 5) % 7], 1);
  EXPECT_EQ(logits[7 + (1 + 2 + 4 + 2) % 7], 1);
}

TEST_F(Call, TakesNoTokens) {
  EXPECT_EQ(refusal({}, {0}, {}, {}, {}), "");
  EXPECT_EQ(refusal({}, {0, 0}, {5}, {0}, {}), "");
  EXPECT_EQ(blockRefusal(MOE_F32, {0, 4}, MOE_F32, {0, 4}), "");
}

TEST_F(Call, RefusesWrongContents) {
  EXPECT_EQ(refusal({1}, {0, 1}, {0}, {0}, {0}), "");
  EXPECT_EQ(refusal({7}, {0, 1}, {0}, {0}, {0}),
            "forward: tokens[0]: expected an index from 0 below 7, got 7");
  EXPECT_EQ(refusal({1, -1}, {0, 2}, {0}, {0}, {0}),
            "forward: tokens[1]: expected an index from 0 below 7, got -1");
  EXPECT_EQ(refusal({1}, {1, 1}, {0}, {0}, {0}),
            "forward: cu[0]: expected 0, got 1");
  EXPECT_EQ(refusal({1, 1}, {0, 1}, {0}, {0}, {0}),
            "forward: cu[1]: expected 2, the number of tokens, got 1");
  EXPECT_EQ(refusal({1}, {0, 2, 1}, {0, 0}, {0, 1}, {0}),
            "forward: cu[2]: expected at least 2, got 1");
  EXPECT_EQ(refusal({1}, {0, 1}, {-1}, {0}, {0}),
            "forward: past[0]: expected at least 0, got -1");
  EXPECT_EQ(refusal({1, 1}, {0, 2}, {9}, {0}, {0}),
            "forward: sequence 0: expected at most 10 tokens (max_len), got "
            "11");
  EXPECT_EQ(refusal({1}, {0, 1}, {INT32_MAX}, {0}, {0}),
            "forward: sequence 0: expected at most 10 tokens (max_len), got "
            "2147483648");
  EXPECT_EQ(refusal({1}, {0, 1}, {0}, {3}, {0}),
            "forward: slot[0]: expected an index from 0 below 3, got 3");
  EXPECT_EQ(refusal({1, 1}, {0, 1, 2}, {0, 0}, {2, 2}, {0}),
            "forward: slot[1]: expected a slot of its own, got 2 again");
  EXPECT_EQ(refusal({1}, {0, 1}, {0}, {0}, {1}),
            "forward: rows[0]: expected an index from 0 below 1, got 1");
}

TEST_F(Call, RefusesTooManyTokens) {
  EXPECT_EQ(refusal(std::vector<int32_t>(9), {0, 9}, {0}, {0}, {0}),
            "function 'forward': input 'tokens': expected an extent from 0 to "
            "8 in dimension 0 (N is at most max_tokens), got 9");
}

TEST_F(Call, RefusesWrongArrays) {
  EXPECT_EQ(blockRefusal(MOE_F32, {2, 4}, MOE_F32, {2, 4}), "");
  EXPECT_EQ(blockRefusal(MOE_F16, {2, 4}, MOE_F32, {2, 4}),
            "function 'block': input 'x': expected type f32, got f16");
  EXPECT_EQ(blockRefusal(moe_dtype(99), {2, 4}, MOE_F32, {2, 4}),
            "function 'block': input 'x': expected type f32, got an unknown "
            "one");
  EXPECT_EQ(blockRefusal(MOE_F32, {8}, MOE_F32, {2, 4}),
            "function 'block': input 'x': expected rank 2, got 1");
  EXPECT_EQ(blockRefusal(MOE_F32, {2, 5}, MOE_F32, {2, 4}),
            "function 'block': input 'x': expected extent 4 in dimension 1, "
            "got 5");
  EXPECT_EQ(blockRefusal(MOE_F32, {-1, 4}, MOE_F32, {2, 4}),
            "function 'block': input 'x': expected an extent from 0 to 8 in "
            "dimension 0 (T is at most max_tokens), got -1");
  EXPECT_EQ(blockRefusal(MOE_F32, {2, 4}, MOE_F32, {3, 4}),
            "function 'block': output 'y': expected extent 2 in dimension 0, "
            "got 3");
}

TEST_F(Call, RefusesWrongCounts) {
  const moe_function *block = moe_find_function(model, "block");
  EXPECT_EQ(moe_call(state, block, nullptr, 0, nullptr, 0),
            MOE_INVALID_ARGUMENT);
  EXPECT_STREQ(moe_error(), "function 'block': expected 1 inputs, got 0");
  moe_function copy = *block;
  EXPECT_EQ(moe_call(state, &copy, nullptr, 0, nullptr, 0),
            MOE_INVALID_ARGUMENT);
  EXPECT_STREQ(moe_error(), "function: expected one of the state's model");
  const int64_t shape[] = {1, 4};
  moe_tensor x{MOE_F32, 2, shape, nullptr};
  EXPECT_EQ(moe_call(state, block, &x, 1, &x, 1), MOE_INVALID_ARGUMENT);
  EXPECT_STREQ(moe_error(),
               "function 'block': input 'x': expected data, got NULL");
}

TEST_F(Call, RefusesToEncodeWithoutAnEncoder) {
  const int32_t token = 1, cu[] = {0, 1}, slot = 0;
  EXPECT_EQ(moe_encode(state, 1, &token, 1, cu, &slot), MOE_INVALID_ARGUMENT);
  EXPECT_STREQ(moe_error(), "encode: expected an encoder-decoder model, got a "
                            "package without such an entry");
  EXPECT_EQ(moe_encode(nullptr, 1, &token, 1, cu, &slot), MOE_INVALID_ARGUMENT);
  EXPECT_STREQ(moe_error(), "state: expected an address, got NULL");
}

TEST(Encode, ChecksTheContents) {
  TestPackage package;
  package.manifest["functions"].push_back(nlohmann::json::parse(R"(
      {"name": "encode", "arguments": [
        {"name": "tokens", "kind": "input", "dtype": "i32", "shape": ["N"]},
        {"name": "cu", "kind": "input", "dtype": "i32", "shape": ["B+1"]},
        {"name": "slot", "kind": "input", "dtype": "i32", "shape": ["B"]}]})"));
  TemporaryFolder folder;
  package.write(folder);
  moe_model *model = nullptr;
  ASSERT_EQ(moe_model_open(folder.path().c_str(), nullptr, &model), MOE_OK)
      << moe_error();
  moe_state *state = nullptr;
  ASSERT_EQ(moe_state_create(model, 2, /*max_len=*/3, 8, 1, &state), MOE_OK);
  auto refusal = [&](std::vector<int32_t> tokens, std::vector<int32_t> cu,
                     std::vector<int32_t> slot) -> std::string {
    if (moe_encode(state, tokens.size(), tokens.data(), slot.size(), cu.data(),
                   slot.data()) == MOE_OK)
      return "";
    return moe_error();
  };
  EXPECT_EQ(refusal({1, 2, 3, 4}, {0, 3, 4}, {1, 0}), "");
  EXPECT_EQ(refusal({}, {0}, {}), "");
  EXPECT_EQ(refusal({7}, {0, 1}, {0}),
            "encode: tokens[0]: expected an index from 0 below 7, got 7");
  EXPECT_EQ(refusal({1}, {0, 1}, {2}),
            "encode: slot[0]: expected an index from 0 below 2, got 2");
  EXPECT_EQ(refusal({1, 2}, {0, 1, 2}, {1, 1}),
            "encode: slot[1]: expected a slot of its own, got 1 again");
  EXPECT_EQ(refusal({1}, {0, 0, 1}, {0, 1}),
            "encode: sequence 0: expected at least 1 token, got 0");
  EXPECT_EQ(refusal({1, 2, 3, 4}, {0, 4}, {0}),
            "encode: sequence 0: expected at most 3 tokens (max_len), got 4");
  moe_state_destroy(state);
  moe_model_close(model);
}

TEST_F(Call, TellsTheShapeOfOutputs) {
  const moe_function *block = moe_find_function(model, "block");
  const int64_t xShape[] = {5, 4};
  moe_tensor x{MOE_F32, 2, xShape, nullptr};
  int64_t shape[2];
  ASSERT_EQ(moe_output_shape(state, block, &x, 1, 0, shape), MOE_OK);
  EXPECT_EQ(shape[0], 5);
  EXPECT_EQ(shape[1], 4);
  EXPECT_EQ(moe_output_shape(state, block, &x, 1, 1, shape),
            MOE_INVALID_ARGUMENT);
  EXPECT_STREQ(moe_error(),
               "function 'block': expected an output below 1, got 1");
}

TEST_F(Call, AllocatesNothing) {
  const int32_t tokens[] = {1, 2, 4}, cu[] = {0, 2, 3}, past[] = {0, 0},
                slot[] = {0, 1}, rows[] = {1, 2};
  float logits[2 * 7];
  int64_t before = numAllocations;
  EXPECT_GT(before, 0); // They are counted.
  moe_status status =
      moe_forward(state, 3, tokens, 2, cu, past, slot, 2, rows, logits);
  EXPECT_EQ(numAllocations - before, 0);
  EXPECT_EQ(status, MOE_OK);
}

TEST_F(Call, RunsConcurrently) {
  std::vector<std::thread> threads;
  for (int32_t first = 0; first < 4; ++first)
    threads.emplace_back([&, first] {
      moe_state *own = makeState();
      for (int round = 0; round < 200; ++round) {
        int32_t sum = 0;
        for (int32_t past = 0; past < 10; ++past) {
          int32_t token = (first + past) % 4; // shift is 0 1 0 0 for these
          sum += token;
          EXPECT_EQ(next(own, {token}, past, 1), (sum + (token == 1)) % 7);
        }
        int32_t wrong = 7 + first;
        std::string message = "got " + std::to_string(wrong);
        const int32_t cu[] = {0, 1}, past = 0, slot = 0, row = 0;
        float logits[7];
        EXPECT_EQ(
            moe_forward(own, 1, &wrong, 1, cu, &past, &slot, 1, &row, logits),
            MOE_INVALID_ARGUMENT);
        EXPECT_NE(std::string(moe_error()).find(message), std::string::npos);
      }
      moe_state_destroy(own);
    });
  for (std::thread &thread : threads)
    thread.join();
}

//===- Generate.cpp - Greedy generation -----------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Package.h"
#include "Timer.h"

#include <cmath>
#include <iostream>

using namespace moe::run;

/// The index of the largest logit, and of equal ones the lowest.
static int32_t argmax(const std::vector<float> &logits) {
  int32_t best = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]))
      fail("logits: expected numbers, got NaN for id ", i);
    if (logits[i] > logits[best])
      best = i;
  }
  return best;
}

void moe::run::generate(const moe_model *model, const Options &options) {
  const moe_model_info *info = moe_model_describe(model);
  if (info->vocab == 0)
    fail("--prompt-ids: expected a language model, got a plain program");
  const std::vector<int32_t> &prompt = *options.promptIds;
  int64_t promptSize = prompt.size();

  // With an encoder the text begins anew.
  bool encodes = moe_find_function(model, "encode");
  std::vector<int32_t> tokens =
      encodes ? std::vector<int32_t>{static_cast<int32_t>(info->bos)} : prompt;

  // The last token is not cached.
  int64_t numCached = tokens.size() + options.maxNewTokens - 1;
  int64_t needed = std::max(promptSize, numCached);
  int64_t maxLen = options.maxLen.value_or(
      info->max_len > 0 ? std::min(needed, info->max_len) : needed);
  if (needed > maxLen)
    fail("expected at most ", maxLen, " tokens (max_len), got ", promptSize,
         " of the prompt and ", options.maxNewTokens - 1, " generated ones");
  moe_state *created = nullptr;
  check(moe_state_create(model, /*slots=*/1, maxLen, /*max_tokens=*/promptSize,
                         options.threads, &created));
  State state(created);
  startTrace(state, options);

  std::vector<float> logits(info->vocab);
  std::vector<double> times;
  if (encodes)
    times.push_back(measure([&] {
      const int32_t cu[] = {0, static_cast<int32_t>(promptSize)}, slot = 0;
      check(moe_encode(state.get(), promptSize, prompt.data(), 1, cu, &slot));
    }));
  int32_t past = 0;
  for (int64_t i = 0; i < options.maxNewTokens; ++i) {
    const int32_t n = tokens.size(), cu[] = {0, n}, slot = 0, last = n - 1;
    times.push_back(measure([&] {
      check(moe_forward(state.get(), n, tokens.data(), 1, cu, &past, &slot, 1,
                        &last, logits.data()));
    }));
    int32_t next = argmax(logits);
    std::cout << (i ? " " : "") << next << std::flush;
    if (std::find(info->eos, info->eos + info->num_eos, next) !=
        info->eos + info->num_eos)
      break;
    past += n;
    tokens = {next};
  }
  std::cout << "\n";
  writeTrace(state, options);

  if (options.time) {
    std::cerr << "prompt: " << promptSize << " tokens in "
              << milliseconds(times.front()) << "\n";
    times.erase(times.begin());
    if (!times.empty())
      std::cerr << "decode: " << summarize(times) << "\n";
  }
}

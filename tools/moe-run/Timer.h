//===- Timer.h - Times of repeated runs ----------------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_TOOLS_MOE_RUN_TIMER_H
#define MOE_TOOLS_MOE_RUN_TIMER_H

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

namespace moe::run {

/// Seconds that `body` takes.
template <typename Body>
double measure(Body body) {
  auto start = std::chrono::steady_clock::now();
  body();
  std::chrono::duration<double> elapsed =
      std::chrono::steady_clock::now() - start;
  return elapsed.count();
}

/// Milliseconds with three decimals.
inline std::string milliseconds(double seconds) {
  std::string text = std::to_string(seconds * 1e3);
  return text.substr(0, text.size() - 3) + " ms";
}

/// `median 1.234 ms, minimum 1.230 ms, 42 runs` of times in seconds; at least
/// one.
inline std::string summarize(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return "median " + milliseconds(times[times.size() / 2]) + ", minimum " +
         milliseconds(times.front()) + ", " + std::to_string(times.size()) +
         " runs";
}

} // namespace moe::run

#endif // MOE_TOOLS_MOE_RUN_TIMER_H

//===- Failure.h - The one way in which moe-run fails --------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_TOOLS_MOE_RUN_FAILURE_H
#define MOE_TOOLS_MOE_RUN_FAILURE_H

#include <sstream>
#include <stdexcept>

namespace moe::run {

/// Bad input. `main` prints the message and exits with 1.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Throws a Failure whose message is the parts written one after another.
template <typename... Parts>
[[noreturn]] void fail(const Parts &...parts) {
  std::ostringstream os;
  (os << ... << parts);
  throw Failure(os.str());
}

} // namespace moe::run

#endif // MOE_TOOLS_MOE_RUN_FAILURE_H

//===- Options.h - Command line of moe-run -------------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_TOOLS_MOE_RUN_OPTIONS_H
#define MOE_TOOLS_MOE_RUN_OPTIONS_H

#include "moe-runtime/moe.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace moe::run {

struct Options {
  bool help = false;
  bool version = false;
  bool time = false;
  std::string package;
  std::optional<std::string> function;
  std::optional<std::vector<int32_t>> promptIds;
  int64_t maxNewTokens = 32;
  std::optional<int64_t> maxLen;
  int64_t threads = 0;
  std::optional<std::string> isa;
  std::optional<std::string> trace;
  moe_weights weights = MOE_WEIGHTS_COPY;
  std::map<std::string, std::string> inputs;  ///< file of each named array
  std::map<std::string, std::string> outputs; ///< likewise
};

/// Parses the arguments after the program's name; fails on any that is not
/// understood.
Options parseOptions(const std::vector<std::string> &arguments);

/// The text of --help.
std::string usage();

} // namespace moe::run

#endif // MOE_TOOLS_MOE_RUN_OPTIONS_H

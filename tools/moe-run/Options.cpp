//===- Options.cpp - Command line of moe-run ------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Options.h"
#include "Failure.h"

#include <algorithm>
#include <charconv>

using namespace moe::run;

namespace {
/// One option; its text is what follows the name on the command line.
struct Option {
  const char *name;
  const char *metavar; ///< of its text; null for a flag
  const char *help;
  void (*apply)(Options &options, const std::string &text);
};
} // namespace

template <typename T>
static T parseInteger(const char *name, const std::string &text, T least) {
  T value = 0;
  const char *end = text.data() + text.size();
  auto [parsed, code] = std::from_chars(text.data(), end, value);
  if (code != std::errc() || parsed != end || value < least)
    fail(name, ": expected an integer of at least ", least, ", got '", text,
         "'");
  return value;
}

/// Parses `5,17,3`. Which ids there are is the model's to say.
static std::vector<int32_t> parseIds(const std::string &text) {
  std::vector<int32_t> ids;
  std::istringstream stream(text + ",");
  for (std::string id; std::getline(stream, id, ',');)
    ids.push_back(parseInteger("--prompt-ids", id, INT32_MIN));
  return ids;
}

/// Adds `name=file` to `files`.
static void addFile(const char *option,
                    std::map<std::string, std::string> &files,
                    const std::string &text) {
  size_t equals = text.find('=');
  if (equals == std::string::npos)
    fail(option, ": expected name=file.npy, got '", text, "'");
  if (!files.emplace(text.substr(0, equals), text.substr(equals + 1)).second)
    fail(option, ": expected one file for '", text.substr(0, equals),
         "', got two");
}

static moe_weights parseWeights(const std::string &text) {
  if (text == "copy")
    return MOE_WEIGHTS_COPY;
  if (text == "map")
    return MOE_WEIGHTS_MAP;
  fail("--weights: expected copy or map, got '", text, "'");
}

static constexpr Option kOptions[] = {
    {"--prompt-ids", "IDS", "generate after these token ids: 5,17,3",
     [](Options &options, const std::string &text) {
       options.promptIds = parseIds(text);
     }},
    {"--max-new-tokens", "N", "generate at most N tokens",
     [](Options &options, const std::string &text) {
       options.maxNewTokens =
           parseInteger<int32_t>("--max-new-tokens", text, 1);
     }},
    {"--input", "NAME=FILE", "read an input of FUNCTION from a .npy file",
     [](Options &options, const std::string &text) {
       addFile("--input", options.inputs, text);
     }},
    {"--output", "NAME=FILE", "write an output of FUNCTION to a .npy file",
     [](Options &options, const std::string &text) {
       addFile("--output", options.outputs, text);
     }},
    {"--max-len", "N", "cache N tokens of a sequence (default: as needed)",
     [](Options &options, const std::string &text) {
       options.maxLen = parseInteger<int32_t>("--max-len", text, 1);
     }},
    {"--threads", "N", "run on N threads (default: one per CPU)",
     [](Options &options, const std::string &text) {
       options.threads = parseInteger<int32_t>("--threads", text, 1);
     }},
    {"--isa", "LEVEL", "run the code of one level: v3, v4 (default: the best)",
     [](Options &options, const std::string &text) { options.isa = text; }},
    {"--weights", "MODE", "copy: in huge pages (the default); map: shared",
     [](Options &options, const std::string &text) {
       options.weights = parseWeights(text);
     }},
    {"--trace", "FILE", "write a trace of all stages, for ui.perfetto.dev",
     [](Options &options, const std::string &text) { options.trace = text; }},
    {"--time", nullptr, "print times to the standard error",
     [](Options &options, const std::string &) { options.time = true; }},
    {"--help", nullptr, "print this text",
     [](Options &options, const std::string &) { options.help = true; }},
    {"--version", nullptr, "print the version",
     [](Options &options, const std::string &) { options.version = true; }},
};

Options moe::run::parseOptions(const std::vector<std::string> &arguments) {
  Options options;
  std::vector<std::string> positional;
  for (auto it = arguments.begin(); it != arguments.end(); ++it) {
    if (it->empty() || it->front() != '-') {
      positional.push_back(*it);
      continue;
    }
    std::string name = it->substr(0, it->find('='));
    auto option = std::find_if(
        std::begin(kOptions), std::end(kOptions),
        [&](const Option &candidate) { return candidate.name == name; });
    if (option == std::end(kOptions))
      fail("unknown option '", name, "'; see --help");
    bool hasText = name.size() < it->size();
    if (!option->metavar && hasText)
      fail(name, ": expected no value, got '", *it, "'");
    std::string text = hasText ? it->substr(name.size() + 1) : "";
    if (option->metavar && !hasText) {
      if (++it == arguments.end())
        fail(name, ": expected a value");
      text = *it;
    }
    option->apply(options, text);
  }

  if (options.help || options.version)
    return options;
  if (positional.empty() || positional.size() > 2)
    fail("expected a package and at most one function, got ", positional.size(),
         " names; see --help");
  options.package = positional[0];
  if (positional.size() == 2)
    options.function = positional[1];
  if (options.function && options.promptIds)
    fail("expected a function or --prompt-ids, got both");
  if (!options.function && !(options.inputs.empty() && options.outputs.empty()))
    fail("--input and --output: expected a function");
  if (options.trace && !options.function && !options.promptIds)
    fail("--trace: expected a function or --prompt-ids");
  return options;
}

std::string moe::run::usage() {
  std::string text =
      "usage: moe-run PACKAGE\n"
      "       moe-run PACKAGE --prompt-ids IDS [options]\n"
      "       moe-run PACKAGE FUNCTION --input NAME=FILE... "
      "--output NAME=FILE... [options]\n\n"
      "Lists the functions of a compiled package; generates greedily with its "
      "language\nmodel, printing token ids; or calls one function on NumPy "
      "arrays.\n\n";
  for (const Option &option : kOptions) {
    std::string name = std::string("  ") + option.name;
    if (option.metavar)
      name += std::string(" ") + option.metavar;
    constexpr size_t kColumn = 24;
    name.resize(std::max(name.size() + 1, kColumn), ' ');
    text += name + option.help + "\n";
  }
  return text;
}

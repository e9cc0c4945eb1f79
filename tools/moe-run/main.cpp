//===- main.cpp - Runs compiled packages ----------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Package.h"

#include <iostream>

using namespace moe::run;

static void run(const Options &options) {
  if (options.help) {
    std::cout << usage();
    return;
  }
  if (options.version) {
    std::cout << "moe-run " << moe_version() << "\n";
    return;
  }
  moe_open_options openOptions{options.isa ? options.isa->c_str() : nullptr,
                               options.weights};
  moe_model *opened = nullptr;
  check(moe_model_open(options.package.c_str(), &openOptions, &opened));
  Model model(opened);
  if (options.promptIds)
    generate(model.get(), options);
  else if (options.function)
    callFunction(model.get(), options);
  else
    listFunctions(model.get());
}

int main(int argc, char **argv) {
  try {
    run(parseOptions({argv + 1, argv + argc}));
    if (!std::cout.flush())
      fail("standard output: cannot be written");
    return 0;
  } catch (const std::bad_alloc &) {
    std::cerr << "moe-run: out of memory\n";
  } catch (const Failure &failure) {
    std::cerr << "moe-run: " << failure.what() << "\n";
  }
  return 1;
}

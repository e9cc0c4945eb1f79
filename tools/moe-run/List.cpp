//===- List.cpp - Prints what a package holds -----------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Package.h"

#include <iostream>

using namespace moe::run;

static void printArgument(const moe_argument &argument) {
  std::cout << argument.name << ": " << moe_dtype_name(argument.dtype) << "[";
  for (size_t i = 0; i < argument.rank; ++i) {
    const moe_extent &extent = argument.shape[i];
    std::cout << (i ? ", " : "");
    if (extent.symbol)
      std::cout << extent.symbol << (extent.value ? "+" : "");
    if (!extent.symbol || extent.value)
      std::cout << extent.value;
  }
  std::cout << "]";
}

/// Prints `(name: type[shape], ...)` for the arguments of one kind.
static void printArguments(const moe_function &function, moe_kind kind) {
  std::cout << "(";
  const char *separator = "";
  for (size_t i = 0; i < function.num_arguments; ++i) {
    if (function.arguments[i].kind != kind)
      continue;
    std::cout << separator;
    printArgument(function.arguments[i]);
    separator = ", ";
  }
  std::cout << ")";
}

void moe::run::listFunctions(const moe_model *model) {
  const moe_model_info *info = moe_model_describe(model);
  std::cout << "# compiler " << info->compiler << ", compute " << info->compute
            << ", isa " << info->isa << ", " << moe_num_parameters(model)
            << " parameters\n";
  for (size_t i = 0; i < moe_num_functions(model); ++i) {
    const moe_function *function = moe_function_at(model, i);
    std::cout << function->name;
    printArguments(*function, MOE_INPUT);
    std::cout << " -> ";
    printArguments(*function, MOE_OUTPUT);
    if (function->num_inputs + function->num_outputs <
        function->num_arguments) {
      std::cout << " state ";
      printArguments(*function, MOE_STATE);
    }
    std::cout << "\n";
  }
}

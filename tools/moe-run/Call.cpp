//===- Call.cpp - Calls one function on arrays from files -----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Npy.h"
#include "Package.h"
#include "Timer.h"

#include <cstring>
#include <iostream>

using namespace moe::run;

static const moe_function &findFunction(const moe_model *model,
                                        const std::string &name) {
  if (const moe_function *function = moe_find_function(model, name.c_str()))
    return *function;
  std::string names;
  for (size_t i = 0; i < moe_num_functions(model); ++i)
    names += std::string(i ? ", " : "") + moe_function_at(model, i)->name;
  fail("expected one of the functions ", names, ", got '", name, "'");
}

/// The arguments of one kind, in order.
static std::vector<moe_argument> argumentsOf(const moe_function &function,
                                             moe_kind kind) {
  std::vector<moe_argument> result;
  for (size_t i = 0; i < function.num_arguments; ++i)
    if (function.arguments[i].kind == kind)
      result.push_back(function.arguments[i]);
  return result;
}

/// Checks that every name on the command line is one of `arguments`.
static void checkNames(const char *option,
                       const std::map<std::string, std::string> &files,
                       const std::vector<moe_argument> &arguments) {
  for (const auto &[name, file] : files)
    if (std::none_of(arguments.begin(), arguments.end(),
                     [&, &name = name](const moe_argument &argument) {
                       return argument.name == name;
                     }))
      fail(option, ": expected a name of the function's, got '", name, "'");
}

/// Creates a state that is just large enough for `inputs`.
static State makeState(const moe_model *model, const moe_function &function,
                       const std::vector<moe_argument> &arguments,
                       const std::vector<Array> &inputs,
                       const Options &options) {
  int64_t maxTokens = 0, slots = 0, maxLen = 0;
  for (size_t i = 0; i < arguments.size(); ++i)
    for (size_t j = 0; j < std::min(arguments[i].rank, inputs[i].shape.size());
         ++j) {
      const moe_extent &extent = arguments[i].shape[j];
      if (!extent.symbol)
        continue;
      int64_t value = inputs[i].shape[j] - extent.value;
      maxTokens = std::max(maxTokens, value);
      if (strcmp(extent.symbol, "B") == 0)
        slots = std::max(slots, value);
    }
  if (!argumentsOf(function, MOE_STATE).empty()) {
    slots = std::max<int64_t>(slots, 1);
    maxLen = options.maxLen.value_or(moe_model_describe(model)->max_len);
  }
  moe_state *state = nullptr;
  check(moe_state_create(model, slots, maxLen, maxTokens, options.threads,
                         &state));
  return State(state);
}

static std::vector<moe_tensor> tensorsOf(std::vector<Array> &arrays) {
  std::vector<moe_tensor> tensors;
  for (Array &array : arrays)
    tensors.push_back(array.tensor());
  return tensors;
}

void moe::run::callFunction(const moe_model *model, const Options &options) {
  const moe_function &function = findFunction(model, *options.function);
  std::vector<moe_argument> inputArguments = argumentsOf(function, MOE_INPUT);
  std::vector<moe_argument> outputArguments = argumentsOf(function, MOE_OUTPUT);
  checkNames("--input", options.inputs, inputArguments);
  checkNames("--output", options.outputs, outputArguments);

  std::vector<Array> inputs;
  for (const moe_argument &argument : inputArguments) {
    auto file = options.inputs.find(argument.name);
    if (file == options.inputs.end())
      fail("expected --input ", argument.name, "=FILE");
    inputs.push_back(readNpy(file->second));
  }
  State state = makeState(model, function, inputArguments, inputs, options);
  startTrace(state, options);
  std::vector<moe_tensor> inputTensors = tensorsOf(inputs);

  std::vector<Array> outputs;
  for (const moe_argument &argument : outputArguments) {
    std::vector<int64_t> shape(argument.rank);
    check(moe_output_shape(state.get(), &function, inputTensors.data(),
                           inputTensors.size(), outputs.size(), shape.data()));
    outputs.push_back(Array::zeros(argument.dtype, shape));
  }
  std::vector<moe_tensor> outputTensors = tensorsOf(outputs);
  auto run = [&] {
    check(moe_call(state.get(), &function, inputTensors.data(),
                   inputTensors.size(), outputTensors.data(),
                   outputTensors.size()));
  };

  run();
  for (size_t i = 0; i < outputs.size(); ++i)
    if (auto file = options.outputs.find(outputArguments[i].name);
        file != options.outputs.end())
      writeNpy(file->second, outputs[i]);

  if (options.time) {
    // For a second, but often enough to have a median.
    constexpr size_t kLeastRuns = 5;
    std::vector<double> times;
    double total = 0;
    while (times.size() < kLeastRuns || total < 1) {
      times.push_back(measure(run));
      total += times.back();
    }
    std::cerr << function.name << ": " << summarize(times) << "\n";
  }
  writeTrace(state, options);
}

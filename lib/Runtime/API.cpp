//===- API.cpp - The C API ------------------------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Arguments that must not be NULL are checked here, and no exception leaves.
//
//===----------------------------------------------------------------------===//

#include "Runtime/Call.h"
#include "Runtime/DType.h"

#include <cstring>

using namespace moe::runtime;

// A moe_model is a Model and a moe_state is a State.
static Model *unwrap(moe_model *model) {
  return reinterpret_cast<Model *>(model);
}
static const Model *unwrap(const moe_model *model) {
  return reinterpret_cast<const Model *>(model);
}
static State *unwrap(moe_state *state) {
  return reinterpret_cast<State *>(state);
}
static const State *unwrap(const moe_state *state) {
  return reinterpret_cast<const State *>(state);
}

static thread_local std::string lastError;

/// Runs `body` and turns what it returns, or throws, into a status.
template <typename Body>
static moe_status guarded(Body body) {
  try {
    std::optional<Error> error = body();
    if (!error)
      return MOE_OK;
    lastError = std::move(error->message);
    return error->status;
  } catch (...) { // Nothing of ours throws, so an allocation has failed.
    lastError = "out of memory";
    return MOE_OUT_OF_MEMORY;
  }
}

static std::optional<Error> checkNotNull(const char *name,
                                         const void *argument) {
  if (argument)
    return std::nullopt;
  return invalidArgument(name, ": expected an address, got NULL");
}

/// The index of `function`, which must be the state's model's.
static Expected<size_t> findFunction(const moe_state *state,
                                     const moe_function *function) {
  if (auto error = checkNotNull("state", state))
    return *std::move(error);
  if (auto error = checkNotNull("function", function))
    return *std::move(error);
  if (auto index = unwrap(state)->model().indexOf(function))
    return *index;
  return invalidArgument("function: expected one of the state's model");
}

const char *moe_version(void) { return MOE_VERSION; }

const char *moe_error(void) { return lastError.c_str(); }

const char *moe_dtype_name(moe_dtype dtype) {
  const DType *type = describe(dtype);
  return type ? type->name : nullptr;
}

size_t moe_dtype_size(moe_dtype dtype) {
  const DType *type = describe(dtype);
  return type ? type->bytes : 0;
}

//===----------------------------------------------------------------------===//
// Models
//===----------------------------------------------------------------------===//

moe_status moe_model_open(const char *path, const moe_open_options *options,
                          moe_model **model) {
  return guarded([&]() -> std::optional<Error> {
    if (auto error = checkNotNull("path", path))
      return error;
    if (auto error = checkNotNull("model", model))
      return error;
    auto opened = Model::open(path, options ? *options : moe_open_options{});
    if (!opened)
      return opened.error();
    *model = reinterpret_cast<moe_model *>(opened->release());
    return std::nullopt;
  });
}

void moe_model_close(moe_model *model) { delete unwrap(model); }

const moe_model_info *moe_model_describe(const moe_model *model) {
  return &unwrap(model)->info();
}

size_t moe_num_functions(const moe_model *model) {
  return unwrap(model)->functions().size();
}

const moe_function *moe_function_at(const moe_model *model, size_t index) {
  const auto &functions = unwrap(model)->functions();
  return index < functions.size() ? &functions[index] : nullptr;
}

const moe_function *moe_find_function(const moe_model *model,
                                      const char *name) {
  for (const moe_function &function : unwrap(model)->functions())
    if (strcmp(function.name, name) == 0)
      return &function;
  return nullptr;
}

size_t moe_num_parameters(const moe_model *model) {
  return unwrap(model)->parameters().size();
}

const moe_parameter *moe_parameter_at(const moe_model *model, size_t index) {
  const auto &parameters = unwrap(model)->parameters();
  return index < parameters.size() ? &parameters[index] : nullptr;
}

//===----------------------------------------------------------------------===//
// States and calls
//===----------------------------------------------------------------------===//

moe_status moe_state_create(const moe_model *model, int64_t slots,
                            int64_t max_len, int64_t max_tokens,
                            int64_t threads, moe_state **state) {
  return guarded([&]() -> std::optional<Error> {
    if (auto error = checkNotNull("model", model))
      return error;
    if (auto error = checkNotNull("state", state))
      return error;
    auto created =
        State::create(*unwrap(model), {slots, max_len, max_tokens, threads});
    if (!created)
      return created.error();
    *state = reinterpret_cast<moe_state *>(created->release());
    return std::nullopt;
  });
}

int64_t moe_state_bytes(const moe_state *state) {
  return unwrap(state)->bytes();
}

void moe_state_destroy(moe_state *state) { delete unwrap(state); }

moe_status moe_trace_start(moe_state *state, int64_t events) {
  return guarded([&]() -> std::optional<Error> {
    if (auto error = checkNotNull("state", state))
      return error;
    return unwrap(state)->startTrace(events);
  });
}

moe_status moe_trace_write(const moe_state *state, const char *path) {
  return guarded([&]() -> std::optional<Error> {
    if (auto error = checkNotNull("state", state))
      return error;
    if (auto error = checkNotNull("path", path))
      return error;
    const State &traced = *unwrap(state);
    if (!traced.trace())
      return invalidArgument("trace: expected moe_trace_start to be called "
                             "first");
    return traced.trace()->write(path, traced.model().info().isa,
                                 traced.limits().threads);
  });
}

moe_status moe_output_shape(const moe_state *state,
                            const moe_function *function,
                            const moe_tensor *inputs, size_t num_inputs,
                            size_t output, int64_t *shape) {
  return guarded([&]() -> std::optional<Error> {
    auto index = findFunction(state, function);
    if (!index)
      return index.error();
    return outputShape(*unwrap(state), *index, {inputs, num_inputs}, output,
                       shape);
  });
}

moe_status moe_call(moe_state *state, const moe_function *function,
                    const moe_tensor *inputs, size_t num_inputs,
                    const moe_tensor *outputs, size_t num_outputs) {
  return guarded([&]() -> std::optional<Error> {
    auto index = findFunction(state, function);
    if (!index)
      return index.error();
    return call(*unwrap(state), *index, {inputs, num_inputs},
                {outputs, num_outputs});
  });
}

/// The index of an entry of the state's language model.
static Expected<size_t> findEntry(const moe_state *state,
                                  std::optional<size_t> (Model::*entry)() const,
                                  const char *missing) {
  if (auto error = checkNotNull("state", state))
    return *std::move(error);
  if (std::optional<size_t> index = (unwrap(state)->model().*entry)())
    return *index;
  return invalidArgument(missing);
}

/// A vector of indices as an input.
static moe_tensor asInput(const int32_t *data, const int64_t &extent) {
  return {MOE_I32, 1, &extent, const_cast<int32_t *>(data)};
}

/// The extent of `cu` for `b` sequences, whatever the caller passes as `b`.
static int64_t numBounds(int64_t b) { return int64_t(uint64_t(b) + 1); }

moe_status moe_encode(moe_state *state, int64_t n, const int32_t *tokens,
                      int64_t b, const int32_t *cu, const int32_t *slot) {
  return guarded([&]() -> std::optional<Error> {
    auto index = findEntry(state, &Model::encode,
                           "encode: expected an encoder-decoder model, got a "
                           "package without such an entry");
    if (!index)
      return index.error();
    int64_t bounds = numBounds(b);
    const moe_tensor inputs[] = {asInput(tokens, n), asInput(cu, bounds),
                                 asInput(slot, b)};
    return call(*unwrap(state), *index, {inputs, std::size(inputs)},
                {nullptr, 0});
  });
}

moe_status moe_forward(moe_state *state, int64_t n, const int32_t *tokens,
                       int64_t b, const int32_t *cu, const int32_t *past,
                       const int32_t *slot, int64_t r, const int32_t *rows,
                       float *logits) {
  return guarded([&]() -> std::optional<Error> {
    auto index = findEntry(state, &Model::forward,
                           "forward: expected a language model, got a package "
                           "without such an entry");
    if (!index)
      return index.error();
    int64_t bounds = numBounds(b);
    const moe_tensor inputs[] = {asInput(tokens, n), asInput(cu, bounds),
                                 asInput(past, b), asInput(slot, b),
                                 asInput(rows, r)};
    const int64_t shape[] = {r, unwrap(state)->model().manifest().model.vocab};
    const moe_tensor output{MOE_F32, 2, shape, logits};
    return call(*unwrap(state), *index, {inputs, std::size(inputs)},
                {&output, 1});
  });
}

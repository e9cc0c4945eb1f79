//===- Model.h - An opened package ---------------------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_RUNTIME_MODEL_H
#define MOE_LIB_RUNTIME_MODEL_H

#include "Runtime/Memory.h"
#include "Runtime/Module.h"
#include "Runtime/SafeTensors.h"

namespace moe::runtime {

/// A package whose parts have been checked against each other. Immutable.
class Model {
public:
  static Expected<std::unique_ptr<Model>> open(const std::string &folder,
                                               const moe_open_options &options);

  const Manifest &manifest() const { return contents; }
  const moe_model_info &info() const { return infoView; }
  const std::vector<moe_function> &functions() const { return functionViews; }
  const std::vector<moe_parameter> &parameters() const {
    return parameterViews;
  }

  /// What an entry of the module takes: each parameter, in manifest order.
  const void *const *parameterAddresses() const { return addresses.data(); }

  const moe_entry &entry(size_t function) const {
    return *module.entries()[function];
  }

  /// The index of a function that functions() handed out, or nothing.
  std::optional<size_t> indexOf(const moe_function *function) const;

  /// The index of the entry of a language model: the function "forward" with
  /// the inputs of moe_forward.
  std::optional<size_t> forward() const { return forwardIndex; }

  /// The same of its encoder: the function "encode" with the inputs of
  /// moe_encode.
  std::optional<size_t> encode() const { return encodeIndex; }

private:
  Model(Manifest contents, Module module)
      : contents(std::move(contents)), module(std::move(module)) {}

  /// Finds each parameter in the archive of weights.
  std::optional<Error> bindParameters(const std::string &folder,
                                      moe_weights mode);
  std::optional<Error> findEntries(const std::string &where);
  void makeViews();

  Manifest contents;
  Module module;
  std::variant<std::monostate, SafeTensors, Memory> weights;
  std::vector<const void *> addresses;
  std::optional<size_t> forwardIndex, encodeIndex;

  // What the C API shows. These point into each other and into `contents`.
  moe_model_info infoView;
  std::vector<std::vector<moe_extent>> extentViews;
  std::vector<std::vector<moe_argument>> argumentViews;
  std::vector<moe_function> functionViews;
  std::vector<moe_parameter> parameterViews;
};

} // namespace moe::runtime

#endif // MOE_LIB_RUNTIME_MODEL_H

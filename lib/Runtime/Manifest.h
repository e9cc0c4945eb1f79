//===- Manifest.h - What a package says of itself ------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_RUNTIME_MANIFEST_H
#define MOE_LIB_RUNTIME_MANIFEST_H

#include "Runtime/Error.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace moe::runtime {

/// A file of the package, with what makes sure that it is the one meant.
struct FileRecord {
  std::string file; ///< a name within the package's folder
  int64_t bytes;    ///< size of the whole file
  std::string hash; ///< as hashBytes writes it
};

/// One extent: `value`, plus the value of a symbol when `symbol` is one.
struct Extent {
  int symbol = -1; ///< index into Function::symbols; -1 for a constant
  int64_t value = 0;
};

struct Argument {
  std::string name;
  moe_kind kind;
  moe_dtype dtype;
  std::vector<Extent> shape;
};

struct Function {
  /// Indices of the symbols that a moe_state binds; all others are free.
  enum { kSlots = 0, kMaxLen = 1, kFirstFree = 2 };

  std::string name;
  std::vector<std::string> symbols = {"slots", "max_len"};
  /// In the order of the ABI: inputs and states, then outputs. Every symbol of
  /// a state or an output is bound by the moe_state or by an input.
  std::vector<Argument> arguments;

  /// The index of `symbol`, which is added when it is new.
  int internSymbol(std::string_view symbol);

  size_t count(moe_kind kind) const;
};

struct Parameter {
  std::string name;
  moe_dtype dtype;
  std::vector<int64_t> shape;
};

/// The part of "model" that the runtime uses; `json` is all of it.
struct ModelRecord {
  std::string json = "null";
  int64_t vocab = 0;
  int64_t maxLen = 0;
  int64_t bos = -1;
  std::vector<int64_t> eos;
  std::optional<std::string> tokenizer;
};

struct Manifest {
  std::string compiler; ///< name and version
  std::string compute;
  std::string triple; ///< of the module, as LLVM writes it
  FileRecord module;
  std::string buildId;
  std::optional<FileRecord> weights; ///< its hash is that of its header
  ModelRecord model;
  std::vector<Function> functions;
  std::vector<Parameter> parameters;
  std::vector<std::string> stages; ///< names, by moe_event::stage
};

/// Parses a manifest and checks all that can be checked without the package's
/// other files. `where` names the manifest in messages.
Expected<Manifest> parseManifest(std::string_view text,
                                 const std::string &where);

} // namespace moe::runtime

#endif // MOE_LIB_RUNTIME_MANIFEST_H

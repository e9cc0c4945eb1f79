//===- Error.h - Errors as values ----------------------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The runtime throws nothing of its own, so that the compiler, which is built
// without exceptions, can use its readers. Expected<T> is a value or an Error;
// a function without a result returns std::optional<Error>.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_RUNTIME_ERROR_H
#define MOE_LIB_RUNTIME_ERROR_H

#include "moe-runtime/moe.h"

#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <variant>

namespace moe::runtime {

struct Error {
  moe_status status;
  /// Lower case, no period: `<file>: expected <what>, got <value>`.
  std::string message;
};

/// Makes an error whose message is the parts written one after another.
template <typename... Parts>
Error makeError(moe_status status, const Parts &...parts) {
  std::ostringstream os;
  (os << ... << parts);
  return {status, os.str()};
}

template <typename... Parts>
Error invalidPackage(const Parts &...parts) {
  return makeError(MOE_INVALID_PACKAGE, parts...);
}

template <typename... Parts>
Error invalidArgument(const Parts &...parts) {
  return makeError(MOE_INVALID_ARGUMENT, parts...);
}

template <typename T>
class [[nodiscard]] Expected {
public:
  Expected(T value) : storage(std::move(value)) {}
  Expected(Error error) : storage(std::move(error)) {}

  explicit operator bool() const { return std::holds_alternative<T>(storage); }
  T &operator*() { return *std::get_if<T>(&storage); }
  T *operator->() { return std::get_if<T>(&storage); }
  /// The error; only when there is no value.
  Error &error() { return *std::get_if<Error>(&storage); }

private:
  std::variant<T, Error> storage;
};

} // namespace moe::runtime

#endif // MOE_LIB_RUNTIME_ERROR_H

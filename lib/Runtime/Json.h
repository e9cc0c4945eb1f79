//===- Json.h - Checked reading of JSON ----------------------- -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Archives and manifests come from outside: each access says what it expected
// and where. Members that the reader does not ask for are ignored.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_RUNTIME_JSON_H
#define MOE_LIB_RUNTIME_JSON_H

#include "Runtime/Error.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace moe::runtime {

using Json = nlohmann::json;

/// Parses one object. Refuses invalid JSON, anything that is no object, and an
/// object with the same name twice. `where` names the text in messages.
Expected<Json> parseJsonObject(std::string_view text, const std::string &where);

/// A value within a parsed text. The first access that finds something else
/// than it asks for sets the error that all values of one reading share; it and
/// later ones answer empty values. So a reader asks for all it needs, and looks
/// for an error once, before it uses any of it.
class JsonValue {
public:
  /// The whole text; `where` names it in messages.
  JsonValue(const Json &json, std::string where, std::optional<Error> &error)
      : JsonValue(json, std::move(where), "", error) {}

  /// A member of an object.
  JsonValue operator[](const char *key) const;

  /// The elements of an array.
  std::vector<JsonValue> elements() const;

  std::string string() const;

  /// An integer that int64_t can hold and that is at least `least`.
  int64_t integer(int64_t least) const;

  bool isNull() const { return json->is_null(); }
  bool isString() const { return json->is_string(); }
  const Json &get() const { return *json; }

  /// Sets the error `<where>: <path>: expected <what>, got <this value>`.
  void expected(const char *what) const;

private:
  JsonValue(const Json &json, std::string where, std::string path,
            std::optional<Error> &error)
      : json(&json), where(std::move(where)), path(std::move(path)),
        error(&error) {}

  const Json *json;
  std::string where;
  std::string path;
  std::optional<Error> *error;
};

} // namespace moe::runtime

#endif // MOE_LIB_RUNTIME_JSON_H

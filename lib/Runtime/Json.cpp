//===- Json.cpp - Checked reading of JSON ---------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/Json.h"

#include <set>

using namespace moe::runtime;

Expected<Json> moe::runtime::parseJsonObject(std::string_view text,
                                             const std::string &where) {
  // The parser keeps the last of equal keys, so look at each as it arrives.
  std::vector<std::set<std::string>> open;
  std::optional<std::string> duplicate;
  auto watch = [&](int, Json::parse_event_t event, Json &value) {
    if (event == Json::parse_event_t::object_start)
      open.emplace_back();
    else if (event == Json::parse_event_t::object_end)
      open.pop_back();
    else if (event == Json::parse_event_t::key &&
             !open.back().insert(value.get_ref<std::string &>()).second)
      duplicate = value.get_ref<std::string &>();
    return true;
  };
  Json json = Json::parse(text, watch, /*allow_exceptions=*/false);
  if (json.is_discarded())
    return invalidPackage(where, ": invalid JSON");
  if (duplicate)
    return invalidPackage(where, ": duplicate name '", *duplicate, "'");
  if (!json.is_object())
    return invalidPackage(where, ": expected a JSON object, got ",
                          json.type_name());
  return json;
}

JsonValue JsonValue::operator[](const char *key) const {
  static const Json null;
  std::string memberPath = path.empty() ? key : path + "." + key;
  if (!json->is_object()) {
    expected("an object");
    return JsonValue(null, where, memberPath, *error);
  }
  auto it = json->find(key);
  JsonValue member(it == json->end() ? null : *it, where, memberPath, *error);
  if (it == json->end())
    member.expected("a value");
  return member;
}

std::vector<JsonValue> JsonValue::elements() const {
  if (!json->is_array())
    expected("an array");
  std::vector<JsonValue> values;
  for (size_t i = 0; json->is_array() && i < json->size(); ++i)
    values.push_back(JsonValue((*json)[i], where,
                               path + "[" + std::to_string(i) + "]", *error));
  return values;
}

std::string JsonValue::string() const {
  if (json->is_string())
    return json->get<std::string>();
  expected("a string");
  return "";
}

int64_t JsonValue::integer(int64_t least) const {
  // The parser reads what exceeds uint64_t as floating point.
  bool fits = json->is_number_unsigned()
                  ? json->get<uint64_t>() <= uint64_t(INT64_MAX)
                  : json->is_number_integer();
  if (fits && json->get<int64_t>() >= least)
    return json->get<int64_t>();
  expected(least < 0 ? "an integer" : "a non-negative integer");
  return 0;
}

void JsonValue::expected(const char *what) const {
  if (*error)
    return;
  std::string got = json->is_null()         ? "nothing"
                    : json->is_structured() ? json->type_name()
                                            : json->dump();
  constexpr size_t kLongest = 60;
  if (got.size() > kLongest)
    got = got.substr(0, kLongest) + "...";
  *error = invalidPackage(where, path.empty() ? "" : ": ", path, ": expected ",
                          what, ", got ", got);
}

//===- DType.cpp - Element types ------------------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Runtime/DType.h"

using namespace moe::runtime;

static constexpr DType kTypes[] = {
    {MOE_F64, "f64", "F64", 8},
    {MOE_F32, "f32", "F32", 4},
    {MOE_F16, "f16", "F16", 2},
    {MOE_BF16, "bf16", "BF16", 2},
    {MOE_F8_E4M3, "f8_e4m3", "F8_E4M3", 1},
    {MOE_F8_E5M2, "f8_e5m2", "F8_E5M2", 1},
    {MOE_I64, "i64", "I64", 8},
    {MOE_I32, "i32", "I32", 4},
    {MOE_I16, "i16", "I16", 2},
    {MOE_I8, "i8", "I8", 1},
    {MOE_U8, "u8", "U8", 1},
    {MOE_BOOL, "bool", "BOOL", 1},
};

const DType *moe::runtime::describe(moe_dtype dtype) {
  for (const DType &type : kTypes)
    if (type.value == dtype)
      return &type;
  return nullptr;
}

const DType *moe::runtime::dtypeNamed(std::string_view name) {
  for (const DType &type : kTypes)
    if (type.name == name)
      return &type;
  return nullptr;
}

const DType *moe::runtime::dtypeNamedInArchive(std::string_view name) {
  for (const DType &type : kTypes)
    if (type.archiveName == name)
      return &type;
  return nullptr;
}

std::optional<int64_t>
moe::runtime::arrayBytes(moe_dtype dtype, const int64_t *shape, size_t rank) {
  int64_t bytes = describe(dtype)->bytes;
  for (size_t i = 0; i < rank; ++i)
    if (shape[i] < 0 || __builtin_mul_overflow(bytes, shape[i], &bytes))
      return std::nullopt;
  return bytes;
}

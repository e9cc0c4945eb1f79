//===- Hash.h - Hashes of files in a package ------------------ -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_RUNTIME_HASH_H
#define MOE_LIB_RUNTIME_HASH_H

#include <string>
#include <string_view>

namespace moe::runtime {

/// XXH3-128 of `bytes` as manifests write it: "xxh3:" and 32 hexadecimal
/// digits, most significant first.
std::string hashBytes(std::string_view bytes);

} // namespace moe::runtime

#endif // MOE_LIB_RUNTIME_HASH_H

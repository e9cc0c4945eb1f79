//===- TestPackage.cpp - Packages for tests -------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestPackage.h"
#include "Runtime/Hash.h"

using namespace moe::test;
using moe::runtime::hashBytes;

TestPackage::TestPackage() {
  manifest = nlohmann::json::parse(R"({
    "format": 1,
    "compiler": {"name": "hand", "version": "0"},
    "compute": "f32",
    "module": {"file": "module.so", "build_id": "fake-1"},
    "weights": {"file": "weights.safetensors"},
    "target": {"triple": "x86_64-unknown-linux-gnu"},
    "model": {"vocab": 7, "max_len": 16, "eos": [3], "bos": 1,
              "tokenizer": null},
    "functions": [
      {"name": "forward", "arguments": [
        {"name": "tokens", "kind": "input", "dtype": "i32", "shape": ["N"]},
        {"name": "cu", "kind": "input", "dtype": "i32", "shape": ["B+1"]},
        {"name": "past", "kind": "input", "dtype": "i32", "shape": ["B"]},
        {"name": "slot", "kind": "input", "dtype": "i32", "shape": ["B"]},
        {"name": "rows", "kind": "input", "dtype": "i32", "shape": ["R"]},
        {"name": "cache", "kind": "state", "dtype": "i32",
         "shape": ["slots", "max_len"]},
        {"name": "logits", "kind": "output", "dtype": "f32",
         "shape": ["R", 7]}]},
      {"name": "block", "arguments": [
        {"name": "x", "kind": "input", "dtype": "f32", "shape": ["T", 4]},
        {"name": "y", "kind": "output", "dtype": "f32", "shape": ["T", 4]}]}],
    "parameters": [{"name": "shift", "dtype": "f32", "shape": [7]}],
    "stages": ["prefix \"sums\""]})");
  module = readFile(MOE_FAKE_MODULE);

  // 28 bytes, padded to 64; the data starts at an aligned offset.
  float shift[16] = {0, 1, 0, 0, 2, 0, 5};
  std::string header =
      R"({"shift": {"dtype": "U8", "shape": [64], "data_offsets": [0, 64]}})";
  header.resize(128 - 8, ' ');
  weights = makeArchive(
      header, std::string(reinterpret_cast<char *>(shift), sizeof(shift)));
  seal();
}

void TestPackage::seal() {
  manifest["module"]["bytes"] = module.size();
  manifest["module"]["hash"] = hashBytes(module);
  manifest["weights"]["bytes"] = weights.size();
  size_t header = 8 + static_cast<unsigned char>(weights[0]);
  manifest["weights"]["header_hash"] =
      hashBytes(std::string_view(weights).substr(0, header));
}

void TestPackage::write(const TemporaryFolder &folder) const {
  writeFile(folder.path("module.so"), module);
  writeFile(folder.path("weights.safetensors"), weights);
  writeFile(folder.path("manifest.json"), manifest.dump());
}

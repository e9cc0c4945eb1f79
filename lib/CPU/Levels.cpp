//===- Levels.cpp - ISA levels --------------------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Levels.h"

#include "moe/IR/MoE.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace mlir::moe;

static constexpr StringRef v3Features[] = {"avx2", "bmi2", "f16c", "fma"};

static constexpr StringRef v4Features[] = {"avx2",     "bmi2",     "f16c",
                                           "fma",      "avx512f",  "avx512bw",
                                           "avx512cd", "avx512dq", "avx512vl"};

static constexpr StringRef vnniFeatures[] = {
    "avx2",     "bmi2",     "f16c",     "fma",      "avx512f",
    "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512vnni"};

static constexpr StringRef amxFeatures[] = {
    "avx2",       "bmi2",     "f16c",     "fma",      "avx512f",
    "avx512bw",   "avx512cd", "avx512dq", "avx512vl", "avx512vnni",
    "avx512bf16", "amx-tile", "amx-bf16", "amx-int8"};

static constexpr StringRef neonFeatures[] = {"neon"};

static constexpr StringLiteral kX86 = "x86_64-unknown-linux-gnu";
static constexpr StringLiteral kAArch64 = "aarch64-unknown-linux-gnu";

static constexpr Level levels[] = {
    {"v3", kX86, "x86-64-v3", v3Features, /*lanes=*/8, /*registers=*/16},
    {"v4", kX86, "x86-64-v4", v4Features, /*lanes=*/16, /*registers=*/32},
    {"vnni", kX86, "x86-64-v4", vnniFeatures, /*lanes=*/16, /*registers=*/32,
     /*hasDots=*/true},
    {"amx", kX86, "x86-64-v4", amxFeatures, /*lanes=*/16, /*registers=*/32,
     /*hasDots=*/true, /*hasTiles=*/true},
    {"amx_emulated", kX86, "x86-64-v3", v3Features, /*lanes=*/8,
     /*registers=*/16, /*hasDots=*/false, /*hasTiles=*/true,
     /*emulatesTiles=*/true},
    {"neon", kAArch64, "generic", neonFeatures, /*lanes=*/4, /*registers=*/32,
     /*hasDots=*/false, /*hasTiles=*/false, /*emulatesTiles=*/false,
     /*hasLaneFactors=*/true, /*hasThreads=*/false}};

const Level *mlir::moe::lookUpLevel(StringRef isa) {
  const Level *level = llvm::find_if(
      levels, [&](const Level &known) { return known.isa == isa; });
  return level == std::end(levels) ? nullptr : level;
}

const Level *mlir::moe::findLevel(StringRef isa, Operation *op) {
  const Level *level = lookUpLevel(isa);
  if (!level)
    op->emitError(
        "expected an ISA level v3, v4, vnni, amx, amx_emulated or neon, got ")
        << isa;
  return level;
}

void mlir::moe::setLevel(Operation *function, const Level &level) {
  Builder b(function->getContext());
  SmallVector<std::string> features = llvm::map_to_vector(
      level.features, [](StringRef name) { return ("+" + name).str(); });
  SmallVector<StringRef> names(features.begin(), features.end());
  function->setAttr(kIsaAttr, b.getStringAttr(level.isa));
  function->setAttr("target_cpu", b.getStringAttr(level.cpu));
  function->setAttr("target_features",
                    LLVM::TargetFeaturesAttr::get(b.getContext(), names));
}

const Level *mlir::moe::getLevel(Operation *op) {
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (!function)
    function = op->getParentOfType<FunctionOpInterface>();
  auto isa = function->getAttrOfType<StringAttr>(kIsaAttr);
  const Level *level = isa ? lookUpLevel(isa) : nullptr;
  if (!level)
    op->emitOpError("expected a function with `moe.isa`");
  return level;
}

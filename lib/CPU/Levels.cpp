//===- Levels.cpp - ISA levels of x86-64 ----------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Levels.h"

#include "moe/IR/MoE.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace mlir::moe;

static constexpr StringRef v3Features[] = {"avx2", "bmi2", "f16c", "fma"};
static constexpr int64_t v3Tiles[] = {1, 2, 4, 6};

static constexpr StringRef v4Features[] = {"avx2",     "bmi2",     "f16c",
                                           "fma",      "avx512f",  "avx512bw",
                                           "avx512cd", "avx512dq", "avx512vl"};
static constexpr int64_t v4Tiles[] = {1, 2, 4, 8, 12};

static constexpr Level levels[] = {
    {"v3", "x86-64-v3", v3Features, /*lanes=*/8, /*registers=*/16, v3Tiles},
    {"v4", "x86-64-v4", v4Features, /*lanes=*/16, /*registers=*/32, v4Tiles}};

const Level *mlir::moe::findLevel(StringRef isa) {
  const Level *level = llvm::find_if(
      levels, [&](const Level &known) { return known.isa == isa; });
  return level == std::end(levels) ? nullptr : level;
}

const Level *mlir::moe::getLevel(Operation *op) {
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (!function)
    function = op->getParentOfType<FunctionOpInterface>();
  auto isa = function->getAttrOfType<StringAttr>(kIsaAttr);
  const Level *level = isa ? findLevel(isa) : nullptr;
  if (!level)
    op->emitOpError("expected a function with `moe.isa`");
  return level;
}

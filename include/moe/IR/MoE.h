//===- MoE.h - The moe dialect and its operations ---------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_IR_MOE_H
#define MOE_IR_MOE_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "moe/IR/MoEDialect.h.inc"

#include "moe/IR/MoEEnums.h.inc"

namespace mlir::moe {

/// What `moe.glu` and `moe.expert_ffn` say of an activation; null where they
/// say nothing.
struct GluClauses {
  GluKind kind;
  FloatAttr alpha, beta, offset, limit;
  bool post = false;

  /// True if a product of its own, `up`, stands beside the gate.
  bool isGated() const { return kind <= GluKind::SiTU; }

  /// Checks what the clauses say of each other.
  LogicalResult verify(Operation *op) const;
};

} // namespace mlir::moe

#define GET_ATTRDEF_CLASSES
#include "moe/IR/MoEAttrs.h.inc"

#define GET_OP_CLASSES
#include "moe/IR/MoEOps.h.inc"

namespace mlir::moe {

/// Names of the discardable attributes that the dialect documents. Importers
/// set `moe.model`, `moe.name`, `moe.dims` and `moe.state`; passes set the
/// others, which the package's manifest repeats:
///
///   moe.functions = [{name = "forward", arguments = [
///       {name = "tokens", kind = "input", dtype = "i32", shape = ["N"]},
///       ...]}]
///   moe.levels = [{isa = "v3", features = ["avx2", "fma"]}, ...]
///   moe.parameters = [@embed, @norm, ...]
///   moe.compute = "bf16"
///   moe.stages = ["layer: attention", ...]
///
/// `moe.isa` on a function names the level that it is compiled for.
inline constexpr llvm::StringLiteral kModelAttr = "moe.model";
inline constexpr llvm::StringLiteral kNameAttr = "moe.name";
inline constexpr llvm::StringLiteral kDimsAttr = "moe.dims";
inline constexpr llvm::StringLiteral kStateAttr = "moe.state";
inline constexpr llvm::StringLiteral kFunctionsAttr = "moe.functions";
inline constexpr llvm::StringLiteral kLevelsAttr = "moe.levels";
inline constexpr llvm::StringLiteral kParametersAttr = "moe.parameters";
inline constexpr llvm::StringLiteral kComputeAttr = "moe.compute";
inline constexpr llvm::StringLiteral kStagesAttr = "moe.stages";
inline constexpr llvm::StringLiteral kIsaAttr = "moe.isa";

/// Registers how the destination-style ops, `moe.cache_update` and
/// `moe.load_parameter` bufferize.
void registerBufferizableOpInterfaceExternalModels(DialectRegistry &registry);

} // namespace mlir::moe

#endif // MOE_IR_MOE_H

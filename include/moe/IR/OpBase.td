//===- OpBase.td - What the ops of the moe dialect share ---*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_IR_OPBASE
#define MOE_IR_OPBASE

include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "moe/IR/MoEAttrs.td"

class MoE_Op<string mnemonic, list<Trait> traits = []>
    : Op<MoE_Dialect, mnemonic, traits>;

def MoE_Rows2 : 2DTensorOf<[F32]>;
def MoE_Index1 : 1DTensorOf<[I32]>;
def MoE_Index2 : 2DTensorOf<[I32]>;
class MoE_ShapedOf<list<Type> types, list<int> ranks>
    : AnyTypeOf<[TensorRankOf<types, ranks>, MemRefRankOf<types, ranks>]>;

/// Core ops have value semantics.
class MoE_CoreOp<string mnemonic, list<Trait> traits = []>
    : MoE_Op<mnemonic, traits # [
        Pure, InferTypeOpAdaptor,
        DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]>;

#endif // MOE_IR_OPBASE

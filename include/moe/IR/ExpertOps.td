//===- ExpertOps.td - What is done with the rows of experts -*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_IR_EXPERTOPS
#define MOE_IR_EXPERTOPS

include "moe/IR/OpBase.td"

def MoE_DispatchOp : MoE_CoreOp<"dispatch"> {
  let summary = "gathers the rows of tokens in the order of their experts, [T,H] -> [N,H]";
  let description = [{
    `xs[p] = x[perm[p] / k]` where `perm[p] >= 0`; other rows are unspecified.

    - `dispatch_c1`: `k` is at least 1.

    Lifespan: created by importers; fused into `moe.expert_ffn`; lowered alone by `--moe-lower-experts`.

    ```mlir
    %xs = moe.dispatch %x by %perm top 4 : tensor<?x160xf32>, tensor<?xi32>
    ```
  }];
  let arguments = (ins MoE_Rows2:$x, MoE_Index1:$perm, I64Attr:$k);
  let results = (outs MoE_Rows2:$xs);
  let assemblyFormat =
      "$x `by` $perm `top` $k attr-dict `:` type($x) `,` type($perm)";
  let hasVerifier = 1;
}

def MoE_GroupAddOp : MoE_Op<"group_add", [
    Pure, AllTypesMatch<["ys", "result"]>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "adds to the rows of each expert that expert's vector";
  let description = [{
    `z[r,n] = ys[r,n] + bias[e(r),n]`, where rows `offsets[e]..offsets[e+1]` belong to expert `e`: the biases of experts.
    Rows past the last offset are unspecified.

    - `group_add_c1`: the bias is `[E,columns of the rows]` and static, with `E+1` offsets.

    Lifespan: created by importers; lowered by `--moe-lower-experts`.

    ```mlir
    %z = moe.group_add %ys, %bias by %offsets : tensor<?x96xf32>, tensor<16x96xf32>, tensor<17xi32>
    ```
  }];
  let arguments = (ins MoE_Rows2:$ys, 2DTensorOf<[F32, BF16, F16]>:$bias, MoE_Index1:$offsets);
  let results = (outs MoE_Rows2:$result);
  let assemblyFormat = "$ys `,` $bias `by` $offsets attr-dict `:` type($ys) `,` type($bias) `,` type($offsets)";
  let hasVerifier = 1;
}

def MoE_GluOp : MoE_Op<"glu", [
    Pure, SameOperandsAndResultType,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "applies an activation, gated or not, [N,I], [N,I] -> [N,I]";
  let description = [{
    `act(gate) * (up + offset)` (Shazeer 2020, arXiv:2002.05202), with `offset` 0 by default, where `act(g)` is

    - `swiglu`: `g / (1 + exp(-alpha g))`, alpha 1 by default;
    - `geglu`: `g/2 (1 + erf(g / sqrt 2))`; `geglu_tanh`: `g/2 (1 + tanh(sqrt(2/pi) (g + 0.044715 g^3)))`;
    - `reglu`: `max(g, 0)`;
    - `situ`: `alpha tanh(g / alpha) / (1 + exp(-g))`, with `beta tanh(up / beta)` in the place of `up`.

    Or, without `up`, `act(gate)` alone: `silu`, `gelu`, `gelu_tanh` and `relu` are the activations above, and `relu2` is
    `max(g, 0)^2` (So et al. 2021, arXiv:2109.08668).

    With `limit L`, first `gate = min(gate, L)` and `up = min(max(up, -L), L)`; with `post`, it is `act(gate)` that is
    limited instead of `gate` (Step-3.5). gpt-oss is `swiglu alpha 1.702 offset 1.0 limit 7.0`.

    Canonicalisation: an infinite limit is dropped.

    - `glu_c1`: `alpha` goes with `swiglu`, `silu` and `situ`, `beta` with `situ`, which needs both; neither is 0.
    - `glu_c2`: `limit` is greater than 0; `post` goes with `limit`.
    - `glu_c3`: `up` is there where the kind is gated, and `offset` only there.

    Lifespan: created by importers; fused into `moe.expert_ffn`; lowered alone by `--moe-lower-experts`.

    ```mlir
    %h = moe.glu swiglu %gate, %up : tensor<?x96xf32>
    ```
  }];
  let arguments = (ins MoE_GluKind:$kind, MoE_Rows2:$gate, Optional<MoE_Rows2>:$up, OptionalAttr<F32Attr>:$alpha,
                   OptionalAttr<F32Attr>:$beta, OptionalAttr<F32Attr>:$offset, OptionalAttr<F32Attr>:$limit,
                   UnitAttr:$post);
  let results = (outs MoE_Rows2:$result);
  let assemblyFormat = [{
    $kind $gate (`,` $up^)? (`alpha` $alpha^)? (`beta` $beta^)? (`offset` $offset^)? (`limit` $limit^)? (`post` $post^)?
    attr-dict `:` type($gate)
  }];
  let builders = [OpBuilder<(ins "const GluClauses &":$clauses, "Value":$gate, "Value":$up)>];
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    GluClauses getClauses() {
      return {getKind(), getAlphaAttr(), getBetaAttr(), getOffsetAttr(), getLimitAttr(), getPost()};
    }
  }];
}

def MoE_ExpertsOp : MoE_Op<"experts", [
    RecursiveMemoryEffects, SingleBlock,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "runs any body on the rows of each expert";
  let description = [{
    Experts need not be alike: `segments` gives numbers of consecutive experts that share a body, one region each. A body
    gets the rows of one expert, `offsets[e]..offsets[e+1]` of `xs`, and the expert's number within its segment, by which
    it may load parameters; it yields as many rows. It may use any value that is defined outside. Identity, zero and
    constant experts (MoE++, LongCat-Flash), experts of different widths, convolutions, nested mixtures: all are bodies.
    Rows of the result past the last offset are unspecified.

    Folded: where every body yields its rows, the result is `xs`.

    - `experts_c1`: one region for each segment, every segment has at least 1 expert, and `E+1` offsets for their sum E.
    - `experts_c2`: a body takes rows of the type of `xs` and an index, and yields rows of the type of the result.

    Lifespan: created by importers; lowered by `--moe-lower-experts`.

    ```mlir
    %ys = moe.experts %xs by %offsets segments [14, 2] : tensor<?x160xf32>, tensor<17xi32> -> tensor<?x160xf32> {
    ^bb0(%rows: tensor<?x160xf32>, %e: index):
      %y = func.call @network(%rows, %e) : (tensor<?x160xf32>, index) -> tensor<?x160xf32>
      moe.yield %y : tensor<?x160xf32>
    }, {
    ^bb0(%rows: tensor<?x160xf32>, %e: index):
      moe.yield %rows : tensor<?x160xf32>
    }
    ```
  }];
  let arguments = (ins MoE_Rows2:$xs, MoE_Index1:$offsets, DenseI64ArrayAttr:$segments);
  let results = (outs MoE_Rows2:$ys);
  let regions = (region VariadicRegion<SizedRegion<1>>:$bodies);
  let assemblyFormat = [{
    $xs `by` $offsets `segments` $segments attr-dict `:` type($xs) `,` type($offsets) `->` type($ys) $bodies
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
  let hasFolder = 1;
}

def MoE_YieldOp : MoE_Op<"yield", [Pure, Terminator, HasParent<"ExpertsOp">]> {
  let summary = "ends the body of `moe.experts` with its rows";
  let description = [{
    ```mlir
    moe.yield %y : tensor<?x160xf32>
    ```
  }];
  let arguments = (ins MoE_Rows2:$rows);
  let assemblyFormat = "$rows attr-dict `:` type($rows)";
}

def MoE_CombineOp : MoE_CoreOp<"combine"> {
  let summary = "adds the weighted expert rows of each token, [N,H] -> [T,H]";
  let description = [{
    `y[t] = sum_j w[t,j] * ys[row[t,j]]`, added in slot order (so that the bits of a token do not depend on the
    batch), skipping slots with `row = -1`.

    - `combine_c1`: rows and weights have the same shape.

    Lifespan: created by importers; fused into `moe.expert_ffn`; lowered alone by `--moe-lower-experts`.

    ```mlir
    %y = moe.combine %ys, %row, %w : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x4xf32>
    ```
  }];
  let arguments = (ins MoE_Rows2:$ys, MoE_Index2:$row, MoE_Rows2:$weights);
  let results = (outs MoE_Rows2:$result);
  let assemblyFormat = [{
    $ys `,` $row `,` $weights attr-dict `:` type($ys) `,` type($row) `,` type($weights)
  }];
  let hasVerifier = 1;
}

def MoE_SoftDispatchOp : MoE_CoreOp<"soft_dispatch"> {
  let summary = "mixes the tokens of each group into slots, [T,H], [T,S] -> [S*B,H]";
  let description = [{
    `xs[s*B + b] = sum_t d[t,s] x[t]` over the tokens of group `b`, the rows `cu[b]..cu[b+1]`, ascending; without `of`
    all tokens are one group and B = 1. Slots of one expert that stand side by side, in all groups, are thus rows side by
    side (Soft MoE, arXiv:2308.00951, where `d = moe.score softmax over_tokens`).

    - `soft_dispatch_c1`: rows and weights have the same number of tokens.

    Lifespan: created by importers; lowered by `--moe-lower-experts`.

    ```mlir
    %xs = moe.soft_dispatch %x, %d of(%cu : tensor<?xi32>) : tensor<?x160xf32>, tensor<?x32xf32>
    ```
  }];
  let arguments = (ins MoE_Rows2:$x, MoE_Rows2:$weights, Optional<MoE_Index1>:$cu);
  let results = (outs MoE_Rows2:$xs);
  let assemblyFormat = [{
    $x `,` $weights (`of` `(` $cu^ `:` type($cu) `)`)? attr-dict `:` type($x) `,` type($weights)
  }];
  let hasVerifier = 1;
}

def MoE_SoftCombineOp : MoE_CoreOp<"soft_combine"> {
  let summary = "mixes the slots of each group into tokens, [S*B,H], [T,S] -> [T,H]";
  let description = [{
    `y[t] = sum_s c[t,s] ys[s*B + b]`, slots ascending, where token `t` is of group `b` as in `moe.soft_dispatch`.

    - `soft_combine_c1`: the number of slots is static, and without groups it is the number of rows.

    Lifespan: created by importers; lowered by `--moe-lower-experts`.

    ```mlir
    %y = moe.soft_combine %ys, %c of(%cu : tensor<?xi32>) : tensor<?x160xf32>, tensor<?x32xf32>
    ```
  }];
  let arguments = (ins MoE_Rows2:$ys, MoE_Rows2:$weights, Optional<MoE_Index1>:$cu);
  let results = (outs MoE_Rows2:$result);
  let assemblyFormat = [{
    $ys `,` $weights (`of` `(` $cu^ `:` type($cu) `)`)? attr-dict `:` type($ys) `,` type($weights)
  }];
  let hasVerifier = 1;
}

#endif // MOE_IR_EXPERTOPS

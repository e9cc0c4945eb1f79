//===- MoEOps.td - Operations of the moe dialect ---------------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every constraint that a verifier of ours checks has a label, <op>_c<n>, which also stands at the verifier's line and
// names its case in test/IR/invalid.mlir.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_IR_MOEOPS_TD
#define MOE_IR_MOEOPS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "moe/IR/MoEAttrs.td"

class MoE_Op<string mnemonic, list<Trait> traits = []>
    : Op<MoE_Dialect, mnemonic, traits>;

def MoE_Weight : AnyTypeOf<[F32, BF16]>;
def MoE_Rows2 : 2DTensorOf<[F32]>;
def MoE_Index1 : 1DTensorOf<[I32]>;
def MoE_Index2 : 2DTensorOf<[I32]>;
class MoE_ShapedOf<list<Type> types, list<int> ranks>
    : AnyTypeOf<[TensorRankOf<types, ranks>, MemRefRankOf<types, ranks>]>;

//===----------------------------------------------------------------------===//
// Core ops: value semantics
//===----------------------------------------------------------------------===//

class MoE_CoreOp<string mnemonic, list<Trait> traits = []>
    : MoE_Op<mnemonic, traits # [
        Pure, InferTypeOpAdaptor,
        DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]>;

def MoE_ScoreOp : MoE_CoreOp<"score"> {
  let summary = "turns router logits [T,E] into scores [T,E]";
  let description = [{
    - `softmax`: `s[t,e] = exp(l[t,e] - m[t]) / sum_e exp(l[t,e] - m[t])` with `m[t] = max_e l[t,e]`, in f32; with
      `over_tokens`, maximum and sum are over `t` instead: over all tokens, or with `of(%cu)` over those of the same group,
      the rows `cu[b]..cu[b+1]`.
    - `sigmoid`: `1 / (1 + exp(-l))`.
    - `sqrtsoftplus`: `sqrt(log(1 + exp(l)))` (DeepSeek-V4).
    - `relu`: `max(l, 0)` (ReMoE, arXiv:2412.14711).

    Applied to the weights `[T,k]` of chosen logits, `softmax` is over the slots of a token. A score over tokens depends
    on the other tokens of the group.

    - `score_c1`: `over_tokens` goes with `softmax`, and groups with `over_tokens`.

    Lifespan: created by importers; fused into `moe.route`; lowered alone by `--moe-lower-routing`.

    ```mlir
    %s = moe.score softmax %logits : tensor<?x16xf32>
    ```
  }];
  let arguments = (ins MoE_ScoreFn:$fn, MoE_Rows2:$logits, Optional<MoE_Index1>:$cu, UnitAttr:$over_tokens);
  let results = (outs MoE_Rows2:$scores);
  let assemblyFormat = [{
    $fn $logits (`over_tokens` $over_tokens^)? (`of` `(` $cu^ `:` type($cu) `)`)? attr-dict `:` type($logits)
  }];
  let builders = [OpBuilder<(ins "ScoreFn":$fn, "Value":$logits)>];
  let hasVerifier = 1;
}

def MoE_SelectOp : MoE_CoreOp<"select"> {
  let summary = "chooses the k experts with the largest keys, [T,E] -> [T,k]";
  let description = [{
    With `bias [E]`, it is added to the keys of every token; what the experts weigh is another matter, so a bias steers
    the choice only. With `groups`, only the experts of each token's best groups take part: see `#moe.groups`.

    Slots are in order of descending key. Ties go to the lowest index; NaN sorts below every number, so that an index is
    always in range. Two clauses then leave slots without expert, -1: `above t` those whose key is not greater than `t`
    (so that a token has up to k experts; ReMoE), `until p` those before which the keys add up to `p` or more (top-p;
    Huang et al. 2024, arXiv:2403.07652).

    Canonicalisation: groups that are all kept are dropped.

    - `select_c1`: the number of experts is static and `1 <= k <= E`.
    - `select_c2`: the bias has E elements.
    - `select_c3`: groups divide E, at least one is kept and at most all, and each has the experts whose keys are summed.

    Lifespan: created by importers; fused into `moe.route`; lowered alone by `--moe-lower-routing`.

    ```mlir
    %idx = moe.select %key top 8 bias(%b : tensor<256xf32>) groups <8 keep 4 by 2 fill neg_inf> : tensor<?x256xf32>
    ```
  }];
  let arguments = (ins MoE_Rows2:$key, I64Attr:$k, Optional<1DTensorOf<[F32, BF16]>>:$bias,
                   OptionalAttr<MoE_GroupsAttr>:$groups, OptionalAttr<F32Attr>:$above, OptionalAttr<F32Attr>:$until);
  let results = (outs MoE_Index2:$idx);
  let assemblyFormat = [{
    $key `top` $k (`bias` `(` $bias^ `:` type($bias) `)`)? (`groups` $groups^)? (`above` $above^)? (`until` $until^)?
    attr-dict `:` type($key)
  }];
  let builders = [OpBuilder<(ins "Value":$key, "int64_t":$k)>];
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    /// True if the k largest keys are all that is asked for.
    bool isPlain() { return !getBias() && !getGroups() && !getAbove() && !getUntil(); }
  }];
}

def MoE_WeighOp : MoE_CoreOp<"weigh"> {
  let summary = "reads the weights of the chosen experts, [T,E] at [T,k] -> [T,k]";
  let description = [{
    `w[t,j] = s[t, idx[t,j]]`; 0 where `idx[t,j] = -1`. With `norm sum` each row is divided by its sum, added in slot
    order; with `norm l2` by the root of the sum of its squares. `plus c` adds c to that divisor, `at_least c` replaces
    it where it is less. Then `scale` multiplies.

    Published routers divide before slots are dropped, or after: weigh at what `moe.select` says, or at what
    `moe.limit` leaves of it.

    - `weigh_c1`: scores and indices have the same number of tokens.
    - `weigh_c2`: `plus` and `at_least` need a norm, and exclude each other.

    Lifespan: created by importers; fused into `moe.route`; lowered alone by `--moe-lower-routing`.

    ```mlir
    %w = moe.weigh %s at %idx norm sum plus 1.0e-20 scale 2.5 : tensor<?x16xf32>, tensor<?x4xi32>
    ```
  }];
  let arguments = (ins MoE_Rows2:$scores, MoE_Index2:$idx,
                   DefaultValuedAttr<MoE_Norm, "::mlir::moe::Norm::None">:$norm,
                   OptionalAttr<F32Attr>:$plus, OptionalAttr<F32Attr>:$at_least, OptionalAttr<F32Attr>:$scale);
  let results = (outs MoE_Rows2:$weights);
  let assemblyFormat = [{
    $scores `at` $idx (`norm` $norm^)? (`plus` $plus^)? (`at_least` $at_least^)? (`scale` $scale^)? attr-dict
    `:` type($scores) `,` type($idx)
  }];
  let builders = [OpBuilder<(ins "Value":$scores, "Value":$idx, CArg<"Norm", "Norm::None">:$norm)>];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// True if the weights are the scores or these divided by their sum.
    bool isPlain() { return getNorm() != Norm::L2 && !getPlus() && !getAtLeast() && !getScale(); }
  }];
}

def MoE_LimitOp : MoE_CoreOp<"limit", [AttrSizedOperandSegments]> {
  let summary = "drops the slots that an expert has no capacity for, [T,k] -> [T,k]";
  let description = [{
    Each expert keeps the first `capacity` slots that chose it; the others become -1. With `of(%cu)`, the rows
    `cu[b]..cu[b+1]` are group `b`, and each expert has the capacity once for each group.

    First are, `slot_major` (the default), the first slots of all tokens, then the second slots, each by token; or, with
    `token_major`, all slots of the first token, then of the second. With `by(%p)`, `[T,k]`, slots of greater `p` come
    before, NaN last, and that order decides among equals: batch-prioritised routing, random token selection, experts
    that keep their most probable tokens. Expert choice (Zhou et al. 2022, arXiv:2202.09368) limits `idx[t,e] = e` by the
    scores.

    The result for a token depends on the other tokens of its group.

    Folded: a fixed capacity of at least T*k drops nothing, where that is static.

    - `limit_c1`: the number of experts is at least 1.
    - `limit_c2`: priorities have the shape of the indices.
    - `limit_c3`: a fixed capacity is at least 1; a factor is finite and greater than 0, `min` and `multiple` at least 1.

    Lifespan: created by importers; lowered by `--moe-lower-assignment`.

    ```mlir
    %kept = moe.limit %idx into 16 capacity <1.25 ceil min 4> of(%cu : tensor<?xi32>) : tensor<?x2xi32>
    ```
  }];
  let arguments = (ins MoE_Index2:$idx, I64Attr:$experts, MoE_CapacityAttr:$capacity, Optional<MoE_Index1>:$cu,
                   Optional<MoE_Rows2>:$priority, UnitAttr:$token_major);
  let results = (outs MoE_Index2:$kept);
  let assemblyFormat = [{
    $idx `into` $experts `capacity` $capacity (`of` `(` $cu^ `:` type($cu) `)`)?
    (`by` `(` $priority^ `:` type($priority) `)`)? (`token_major` $token_major^)? attr-dict `:` type($idx)
  }];
  let hasVerifier = 1;
  let hasFolder = 1;
}

def MoE_AssignOp : MoE_CoreOp<"assign"> {
  let summary = "sorts the slots of all tokens by expert (a counting sort)";
  let description = [{
    From `idx [T,k]`: `offsets [E+1]`, the prefix sums of the number of slots per expert; `perm [N]`, whose entries
    `offsets[e]..offsets[e+1]` are the flat positions `t*k+j` of expert `e` in ascending order, and -1 from
    `offsets[E]` on; `row [T,k]`, its inverse, -1 where `idx` is -1.

    - `assign_c1`: the number of experts is at least 1.

    Lifespan: created by importers; fused into `moe.expert_ffn`; lowered alone by `--moe-lower-assignment`.

    ```mlir
    %row, %perm, %offsets = moe.assign %idx into 16 : tensor<?x4xi32>
    ```
  }];
  let arguments = (ins MoE_Index2:$idx, I64Attr:$experts);
  let results = (outs MoE_Index2:$row, MoE_Index1:$perm, MoE_Index1:$offsets);
  let assemblyFormat = "$idx `into` $experts attr-dict `:` type($idx)";
  let hasVerifier = 1;
}

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
  let arguments = (ins MoE_Rows2:$ys, 2DTensorOf<[F32, BF16]>:$bias, MoE_Index1:$offsets);
  let results = (outs MoE_Rows2:$result);
  let assemblyFormat = "$ys `,` $bias `by` $offsets attr-dict `:` type($ys) `,` type($bias) `,` type($offsets)";
  let hasVerifier = 1;
}

def MoE_GluOp : MoE_Op<"glu", [
    Pure, SameOperandsAndResultType,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "applies a gated activation, [N,I], [N,I] -> [N,I]";
  let description = [{
    `act(gate) * (up + offset)` (Shazeer 2020, arXiv:2002.05202), with `offset` 0 by default, where `act(g)` is

    - `swiglu`: `g / (1 + exp(-alpha g))`, alpha 1 by default;
    - `geglu`: `g/2 (1 + erf(g / sqrt 2))`; `geglu_tanh`: `g/2 (1 + tanh(sqrt(2/pi) (g + 0.044715 g^3)))`;
    - `reglu`: `max(g, 0)`;
    - `situ`: `alpha tanh(g / alpha) / (1 + exp(-g))`, with `beta tanh(up / beta)` in the place of `up`.

    With `limit L`, first `gate = min(gate, L)` and `up = min(max(up, -L), L)`; with `post`, it is `act(gate)` that is
    limited instead of `gate` (Step-3.5). gpt-oss is `swiglu alpha 1.702 offset 1.0 limit 7.0`.

    Canonicalisation: an infinite limit is dropped.

    - `glu_c1`: `alpha` goes with `swiglu` and `situ`, `beta` with `situ`, which needs both; neither is 0.
    - `glu_c2`: `limit` is greater than 0; `post` goes with `limit`.

    Lifespan: created by importers; fused into `moe.expert_ffn`; lowered alone by `--moe-lower-experts`.

    ```mlir
    %h = moe.glu swiglu %gate, %up : tensor<?x96xf32>
    ```
  }];
  let arguments = (ins MoE_GluKind:$kind, MoE_Rows2:$gate, MoE_Rows2:$up, OptionalAttr<F32Attr>:$alpha,
                   OptionalAttr<F32Attr>:$beta, OptionalAttr<F32Attr>:$offset, OptionalAttr<F32Attr>:$limit,
                   UnitAttr:$post);
  let results = (outs MoE_Rows2:$result);
  let assemblyFormat = [{
    $kind $gate `,` $up (`alpha` $alpha^)? (`beta` $beta^)? (`offset` $offset^)? (`limit` $limit^)? (`post` $post^)?
    attr-dict `:` type($gate)
  }];
  let builders = [OpBuilder<(ins "GluKind":$kind, "Value":$gate, "Value":$up)>];
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    /// True if no clause changes what `kind` says.
    bool isPlain() { return !getAlpha() && !getBeta() && !getOffset() && !getLimit(); }
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

//===----------------------------------------------------------------------===//
// Training: nothing of a model's result depends on these
//===----------------------------------------------------------------------===//

def MoE_AuxLossOp : MoE_CoreOp<"aux_loss", [AttrSizedOperandSegments]> {
  let summary = "measures how evenly the experts of a layer are used";
  let description = [{
    `scale` (default 1) times

    - `balance`: `E sum_e f_e P_e` with `f_e` the number of slots of expert `e` over the number of tokens and `P_e` the
      mean score of `e`; with `of(%cu)`, the mean of that over the groups that have tokens. At perfect balance it is k.
      At first choices it is the loss of Switch Transformers (arXiv:2101.03961), at all choices that of Mixtral in
      transformers; times `1/k` that of Megatron and, by sequence, of DeepSeek; on `relu` scores that of ReMoE.
    - `z`: the mean over tokens of `(log sum_e exp(l[t,e]))^2` (ST-MoE, arXiv:2202.08906).
    - `cv2`: `variance / (mean^2 + 1e-10)` of the sums of the columns (importance and load of Shazeer et al. 2017,
      arXiv:1701.06538).

    With no token, it is 0.

    - `aux_loss_c1`: `balance` has indices; the others have neither indices nor groups.
    - `aux_loss_c2`: the number of experts is static; scores and indices have the same number of tokens.

    Lifespan: created by importers; lowered by `--moe-lower-training`.

    ```mlir
    %loss = moe.aux_loss balance %s at(%idx : tensor<?x4xi32>) scale 0.01 : tensor<?x16xf32>
    ```
  }];
  let arguments = (ins MoE_LossKind:$kind, MoE_Rows2:$values, Optional<MoE_Index2>:$idx, Optional<MoE_Index1>:$cu,
                   OptionalAttr<F32Attr>:$scale);
  let results = (outs 0DTensorOf<[F32]>:$loss);
  let assemblyFormat = [{
    $kind $values (`at` `(` $idx^ `:` type($idx) `)`)? (`of` `(` $cu^ `:` type($cu) `)`)? (`scale` $scale^)? attr-dict
    `:` type($values)
  }];
  let hasVerifier = 1;
}

def MoE_BiasUpdateOp : MoE_Op<"bias_update", [
    Pure, AllTypesMatch<["bias", "result"]>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "moves the bias of a selection towards even load, [E] -> [E]";
  let description = [{
    With `c` the slots that each expert got: `sign` is `b + rate * sign(mean(c) - c)` (DeepSeek-V3, arXiv:2412.19437);
    `proportional` is `b + rate * (1/E - c / sum(c))` (LongCat-Flash), unchanged if `sum(c)` is 0.

    Folded: with rate 0 the result is the bias.

    - `bias_update_c1`: bias and counts have the same static number of experts.

    Lifespan: created by importers; lowered by `--moe-lower-training`.

    ```mlir
    %next = moe.bias_update sign %bias, %counts rate 0.001 : tensor<16xf32>, tensor<16xi32>
    ```
  }];
  let arguments = (ins MoE_UpdateKind:$kind, 1DTensorOf<[F32]>:$bias, MoE_Index1:$counts, F32Attr:$rate);
  let results = (outs 1DTensorOf<[F32]>:$result);
  let assemblyFormat = "$kind $bias `,` $counts `rate` $rate attr-dict `:` type($bias) `,` type($counts)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def MoE_NoiseOp : MoE_Op<"noise", [
    Pure, AllTypesMatch<["like", "result"]>,
    DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>]> {
  let summary = "draws random numbers that a seed repeats, one for each element of a tensor [T,E]";
  let description = [{
    Element `n`, in row-major order, is made of the words 0 and 1 of Philox4x32-10 (Salmon et al. 2011,
    doi:10.1145/2063384.2063405) with counter `(n, 0, 0, 0)` and key `seed`: so it depends on seed and place only. With
    `u = ((word 0 >> 9) + 1/2) / 2^23`, between 0 and 1 and exact in f32, and `v` likewise of word 1:

    - `uniform`: `u`;
    - `normal`: `sqrt(-2 log u) cos(2 pi v)` (Box, Muller 1958);
    - `gumbel`: `-log(-log u)`.

    Noisy routers add it to their logits.

    - `noise_c1`: the seed has 2 elements.

    Lifespan: created by importers; lowered by `--moe-lower-training`.

    ```mlir
    %n = moe.noise normal %seed like %logits : tensor<2xi32>, tensor<?x16xf32>
    ```
  }];
  let arguments = (ins MoE_Distribution:$distribution, MoE_Index1:$seed, MoE_Rows2:$like);
  let results = (outs MoE_Rows2:$result);
  let assemblyFormat = "$distribution $seed `like` $like attr-dict `:` type($seed) `,` type($like)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Destination-style ops: on tensors with results, on memrefs without
//===----------------------------------------------------------------------===//

class MoE_DestinationOp<string mnemonic, list<Trait> traits = []>
    : MoE_Op<mnemonic, traits # [
        DestinationStyleOpInterface,
        DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>,
        DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]>;

def MoE_GroupedMatmulOp : MoE_DestinationOp<"grouped_matmul"> {
  let summary = "multiplies the rows of each expert by that expert's matrix";
  let description = [{
    `out[r,n] = sum_k rows[r,k] * weights[e(r),n,k]`, accumulated in f32 with `k` ascending, where rows
    `offsets[e]..offsets[e+1]` belong to expert `e`. Without offsets there is one group and `weights` is `[out,in]`: a
    dense projection. `outs` is overwritten, never read; its rows past the last offset are unspecified.

    With `packed`, `weights` is laid out in panels of 32 columns as `moe.parameter ... pack` makes them; leading extents
    are the experts, if there are offsets.

    Canonicalisation: with one expert the offsets are dropped, since every row that is specified is that expert's.

    - `grouped_matmul_c1`: weights are `[E,out,in]` with offsets and `[out,in]` without, all static.
    - `grouped_matmul_c2`: `in` is the number of columns of `rows`, `out` that of `outs`.
    - `grouped_matmul_c3`: offsets have `E+1` elements.
    - `grouped_matmul_c4`: `rows` and `outs` have the same number of rows.
    - `grouped_matmul_c5`: packed weights have the extents of the packed layout.

    Lifespan: created by importers; those between dispatch and combine are fused into `moe.expert_ffn`; the others stay
    to the form *buffers*.

    ```mlir
    %y = moe.grouped_matmul ins(%xs, %w : tensor<?x160xf32>, tensor<16x96x160xbf16>)
           offsets(%offsets : tensor<17xi32>) outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32>
    ```
  }];
  let arguments = (ins MoE_ShapedOf<[F32], [2]>:$rows,
                   MoE_ShapedOf<[F32, BF16], [2, 3, 4, 6, 7]>:$weights,
                   Optional<MoE_ShapedOf<[I32], [1]>>:$offsets,
                   MoE_ShapedOf<[F32], [2]>:$init,
                   UnitAttr:$packed);
  let results = (outs Optional<MoE_Rows2>:$result);
  let assemblyFormat = [{
    (`packed` $packed^)? `ins` `(` $rows `,` $weights `:` type($rows) `,` type($weights) `)`
    (`offsets` `(` $offsets^ `:` type($offsets) `)`)?
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($result)^)?
  }];
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
  }];
}

def MoE_RouteOp : MoE_DestinationOp<"route"> {
  let summary = "chooses the experts of each token and their weights: score, select, weigh";
  let description = [{
    The composition of `moe.score`, `moe.select` on the scores and `moe.weigh`: logits `[T,E]` to indices `[T,k]` and
    weights `[T,k]`.

    - `route_c1`: the number of experts is static and `1 <= k <= E`.
    - `route_c2`: indices and weights have the same shape and one row per row of logits.

    Lifespan: created by `--moe-fuse-route`; lowered in the form *buffers*.

    ```mlir
    %idx, %w = moe.route softmax ins(%logits : tensor<?x16xf32>) norm sum
                 outs(%a, %b : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
    ```
  }];
  let arguments = (ins MoE_ScoreFn:$fn, MoE_ShapedOf<[F32], [2]>:$logits,
                   MoE_ShapedOf<[I32], [2]>:$idxInit,
                   MoE_ShapedOf<[F32], [2]>:$weightsInit,
                   DefaultValuedAttr<MoE_Norm, "::mlir::moe::Norm::None">:$norm);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $fn `ins` `(` $logits `:` type($logits) `)` (`norm` $norm^)?
    `outs` `(` $idxInit `,` $weightsInit `:` type($idxInit) `,` type($weightsInit) `)` attr-dict
    (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    MutableOperandRange getDpsInitsMutable() {
      return MutableOperandRange(getOperation(), /*start=*/1, /*length=*/2);
    }
  }];
}

def MoE_ExpertFfnOp : MoE_DestinationOp<"expert_ffn"> {
  let summary = "sends each token through its experts and adds the weighted results: assign to combine";
  let description = [{
    The composition of `moe.assign`, `moe.dispatch`, two grouped matmuls (gate and up), `moe.glu`, a third (down) and
    `moe.combine`: `y[t] = sum_j w[t,j] * down[e] (silu(gate[e] x[t]) * (up[e] x[t]))` with `e = idx[t,j]`, added in
    slot order, skipping `-1`.

    Weights are gate `[E,I,H]`, up `[E,I,H]` and down `[E,H,I]`; with `packed`, gate and up are one operand,
    interleaved, and both are laid out as `moe.parameter ... pack` makes them.

    - `expert_ffn_c1`: three weights, or two with `packed`, static.
    - `expert_ffn_c2`: extents of the weights agree with one another and with the rows.
    - `expert_ffn_c3`: rows, indices, weights of slots and `outs` have the same number of tokens; indices and weights
      the same shape.

    Lifespan: created by `--moe-fuse-expert-ffn`; lowered in the form *buffers*.

    ```mlir
    %y = moe.expert_ffn swiglu ins(%x, %idx, %w : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x4xf32>)
           weights(%gate, %up, %down : tensor<16x96x160xf32>, tensor<16x96x160xf32>, tensor<16x160x96xf32>)
           outs(%init : tensor<?x160xf32>) -> tensor<?x160xf32>
    ```
  }];
  let arguments = (ins MoE_GluKind:$kind, MoE_ShapedOf<[F32], [2]>:$x,
                   MoE_ShapedOf<[I32], [2]>:$idx,
                   MoE_ShapedOf<[F32], [2]>:$slotWeights,
                   Variadic<MoE_ShapedOf<[F32, BF16], [3, 4, 7]>>:$weights,
                   MoE_ShapedOf<[F32], [2]>:$init,
                   UnitAttr:$packed);
  let results = (outs Optional<MoE_Rows2>:$result);
  let assemblyFormat = [{
    $kind (`packed` $packed^)?
    `ins` `(` $x `,` $idx `,` $slotWeights `:` type($x) `,` type($idx) `,` type($slotWeights) `)`
    `weights` `(` $weights `:` type($weights) `)`
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($result)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
    /// The number of experts, E.
    int64_t getNumExperts();
  }];
}

//===----------------------------------------------------------------------===//
// Ragged attention over a cache
//===----------------------------------------------------------------------===//

def MoE_AttentionOp : MoE_DestinationOp<"attention", [
    AllTypesMatch<["kCache", "vCache"]>, AttrSizedOperandSegments]> {
  let summary = "softmax attention of ragged sequences over a key/value cache";
  let description = [{
    Queries `[N,heads,D]` of all sequences, concatenated: sequence `b` owns rows `cu[b]..cu[b+1]`, its first row has
    position `past[b]`, its cache is `[layer, slot[b]]` of `k_cache`, `v_cache` `[L,slots,max_len,kv,D]`. Query head
    `h` reads key/value head `h / (heads/kv)`. A row at position `p` sees the positions `j <= p`, or with `lengths` `[B]`
    the positions `j < lengths[b]`, as encoders and attention to an encoder's result do; with a `window` `w`, those of
    them with `j > p - w`; with a `chunk` `c`, those with `j >= floor(p/c) * c`. A row that sees nothing is NaN.

    `o = sum_j w_j v_j` with `w_j = exp(s_j) / (exp(sink_h) + sum_j exp(s_j))`, `s_j = scale * q.k_j` over what the row
    sees. A sink is one learned logit per query head without a value; without `sinks` there is no such term. A `bias`
    `[heads,2r+1]` adds `bias[h, r + min(max(j - p, -r), r)]` to `s_j`: T5's position buckets, written out by distance.
    With `softcap` `a`, `s_j` then becomes `a * tanh(s_j / a)`. Key blocks are walked in ascending order, aligned to
    absolute positions, so chunked, whole and batched calls agree in bits.

    Both caches may be the same memref. Latent attention in its absorbed form (DeepSeek-V2, arXiv:2405.04434) caches one
    row for all heads, `[L,slots,max_len,1,kv_lora+rope]`: a query is multiplied with the key's half of the
    up-projection before, the row is key and value at once, and of the result the first `kv_lora` channels are
    multiplied with the value's half.

    linalg cannot express ragged rows over a cache: its ops refuse mixed tensor and memref operands.

    - `attention_c1`: static heads, kv and D; `heads` is a multiple of `kv`; D is equal for queries and caches.
    - `attention_c2`: queries and `outs` have the same shape.
    - `attention_c3`: `scale` is finite; `softcap`, where given, is finite and more than 0; `window` and `chunk` are at
      least 1.
    - `attention_c4`: there are as many sinks as query heads.
    - `attention_c5`: the bias has a row for each query head and an odd number of columns, both static.

    Lifespan: created by importers; lowered in the form *buffers*.

    ```mlir
    %o = moe.attention ins(%q, %cu, %past, %slot : tensor<?x4x40xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>)
           cache(%k_cache, %v_cache at %l : memref<4x?x?x4x40xf32>) sinks(%sinks : tensor<4xf32>)
           outs(%init : tensor<?x4x40xf32>) {scale = 0.158 : f32, window = 128 : i64} -> tensor<?x4x40xf32>
    ```
  }];
  let arguments = (ins MoE_ShapedOf<[F32], [3]>:$q, MoE_ShapedOf<[I32], [1]>:$cu,
                   MoE_ShapedOf<[I32], [1]>:$past, MoE_ShapedOf<[I32], [1]>:$slot,
                   MemRefRankOf<[F32], [5]>:$kCache, MemRefRankOf<[F32], [5]>:$vCache,
                   Index:$layer, Optional<MoE_ShapedOf<[I32], [1]>>:$lengths,
                   Optional<MoE_ShapedOf<[F32], [2]>>:$bias, Optional<MoE_ShapedOf<[F32, BF16], [1]>>:$sinks,
                   MoE_ShapedOf<[F32], [3]>:$init, F32Attr:$scale, OptionalAttr<F32Attr>:$softcap,
                   OptionalAttr<I64Attr>:$window, OptionalAttr<I64Attr>:$chunk);
  let results = (outs Optional<3DTensorOf<[F32]>>:$result);
  let assemblyFormat = [{
    `ins` `(` $q `,` $cu `,` $past `,` $slot `:` type($q) `,` type($cu) `,` type($past) `,` type($slot) `)`
    `cache` `(` $kCache `,` $vCache `at` $layer `:` type($kCache) `)`
    (`lengths` `(` $lengths^ `:` type($lengths) `)`)? (`bias` `(` $bias^ `:` type($bias) `)`)?
    (`sinks` `(` $sinks^ `:` type($sinks) `)`)?
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($result)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
  }];
}

def MoE_CacheUpdateOp : MoE_Op<"cache_update", [
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "writes the new keys or values of ragged sequences into a cache";
  let description = [{
    Row `r` of sequence `b` goes to `cache[layer, slot[b], past[b] + r - cu[b]]`.

    - `cache_update_c1`: rows `[N,kv,D]` and cache `[L,slots,max_len,kv,D]` have the same static kv and D.

    Lifespan: created by importers; lowered in the form *buffers*.

    ```mlir
    moe.cache_update %k, %cu, %past, %slot into %k_cache[%l]
        : tensor<?x4x40xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, memref<4x?x?x4x40xf32>
    ```
  }];
  let arguments = (ins MoE_ShapedOf<[F32], [3]>:$rows, MoE_ShapedOf<[I32], [1]>:$cu,
                   MoE_ShapedOf<[I32], [1]>:$past, MoE_ShapedOf<[I32], [1]>:$slot,
                   MemRefRankOf<[F32], [5]>:$cache, Index:$layer);
  let assemblyFormat = [{
    $rows `,` $cu `,` $past `,` $slot `into` $cache `[` $layer `]` attr-dict
    `:` type($rows) `,` type($cu) `,` type($past) `,` type($slot) `,` type($cache)
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// In the form *loops*
//===----------------------------------------------------------------------===//

def MoE_PanelMatmulOp : MoE_Op<"panel_matmul", [AttrSizedOperandSegments]> {
  let summary = "multiplies a tile of rows by panels of a packed weight, in registers";
  let description = [{
    `rows [K,m]` holds `m` rows side by side, so that one step over `k` reads `m` neighbours. `panels` are `P` panels of
    32 columns as `moe.parameter ... pack of` makes them. The result stays in registers of `W` lanes,
    `vector<P x m x 32/W x W>`: element `[p,i,c,l]` is `sum_k rows[k,i] * w[p,k,W*c+l]`.

    Each element has one accumulator that starts at 0 and takes fused multiply-adds in f32 with `k` ascending. So its
    bits do not depend on `m`, `P` and `W`.

    With `ahead`, each step also prefetches two cache lines from element `from + k * stride` of that buffer on: weights
    that are needed next arrive while these are in use.

    - `panel_matmul_c1`: rows are `[K,m]`, static.
    - `panel_matmul_c2`: panels are `[P]` packed panels for `K` rows: f32 `[P,K,32]`, bf16 `[P,ceil(K/32),2,16,16,2]`.
    - `panel_matmul_c3`: the result is `[P,m,32/W,W]`.

    Lifespan: created where `--moe-cpu-lower-expert-ffn` and `--moe-cpu-lower-grouped-matmul` lower products; lowered by
    `--moe-cpu-lower-panels`.

    ```mlir
    %acc = moe.panel_matmul %rows, %panels : memref<160x12xf32>, memref<1x160x32xf32> -> vector<1x12x2x16xf32>
    ```
  }];
  let arguments = (ins Arg<MemRefRankOf<[F32], [2]>, "", [MemRead]>:$rows,
                   Arg<MemRefRankOf<[F32, BF16], [3, 6]>, "", [MemRead]>:$panels,
                   Optional<MemRefRankOf<[F32, BF16], [1]>>:$ahead, Optional<Index>:$from, Optional<Index>:$stride);
  let results = (outs VectorOfRankAndType<[4], [F32]>:$result);
  let assemblyFormat = [{
    $rows `,` $panels (`ahead` $ahead^ `[` $from `by` $stride `]` `:` type($ahead))? attr-dict
    `:` type($rows) `,` type($panels) `->` type($result)
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

def MoE_ParameterOp : MoE_Op<"parameter", [
    Symbol, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "declares one stacked weight and where its bytes come from";
  let description = [{
    With `from`, the parameter is read from a checkpoint: `{0}`, `{1}`, ... in the tensor's name stand for the leading
    extents, in order; `at` gives, per placeholder, the numbers to use where numbering has gaps. The element type is the
    checkpoint's.

    With `pack of`, it is derived by a step of the parameter program: a matrix `[out,in]` becomes panels of 32 columns
    (leading extents stay). f32: `[ceil(out/32)][in][32]`. bf16: `[ceil(out/32)][ceil(in/32)][2][16][16][2]`, where
    element `[p][b][h][q][c][i]` is `W[32p+16h+c][32b+2q+i]`. Elements out of range are 0. Of two sources, panel `p`
    holds columns `16p..16p+15` of the first and then the same columns of the second, so that one pass over a panel
    yields gate and up.

    - `parameter_c1`: exactly one of `from` and `pack of`.
    - `parameter_c2`: the shape is static.
    - `parameter_c3`: placeholders are `{0}` to `{n-1}`, each once, and n is at most the rank.
    - `parameter_c4`: `at` has one list per placeholder, as long as the extent.
    - `parameter_c5`: one or two sources, which exist, have one type, and pack to this type.

    Lifespan: created by importers (`from`) and `--moe-cpu-pack-weights` (`pack`); read by the parameter program when the
    package is written.

    ```mlir
    moe.parameter @up : tensor<4x16x96x160xbf16> from "model.layers.{0}.mlp.experts.{1}.up_proj.weight"
    moe.parameter @up.packed : tensor<4x16x3x5x2x16x16x2xbf16> pack of [@up]
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<RankedTensorOf<[F32, BF16]>>:$type,
                   OptionalAttr<StrAttr>:$source, OptionalAttr<ArrayAttr>:$indices,
                   OptionalAttr<FlatSymbolRefArrayAttr>:$sources);
  let assemblyFormat = [{
    $sym_name `:` $type (`from` $source^ (`at` $indices^)?)? (`pack` `of` $sources^)? attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType getTensorType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getType());
    }
  }];
}

def MoE_LoadParameterOp : MoE_Op<"load_parameter", [
    Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "reads a parameter, or the slice of it at leading indices";
  let description = [{
    A layer function reads the slice of its own ordinal; weights are never arguments, so hoisting work out of a layer
    into the parameter program is a local rewrite.

    Canonicalisation: a slice of one matrix of a stack is loaded with one index more.

    - `load_parameter_c1`: the parameter exists; its extents after the indices and its element type are the result's.

    Lifespan: created by importers; a view of the model's table of parameters from the form *buffers* on, where the
    enclosing function's last argument is that table.

    ```mlir
    %up = moe.load_parameter @up[%l] : tensor<16x96x160xbf16>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$parameter, Variadic<Index>:$indices);
  let results = (outs AnyTypeOf<[RankedTensorOf<[F32, BF16]>,
                                 AnyStaticShapeMemRef]>:$result);
  let assemblyFormat =
      "$parameter (`[` $indices^ `]`)? attr-dict `:` type($result)";
  let hasCanonicalizer = 1;
}

#endif // MOE_IR_MOEOPS_TD

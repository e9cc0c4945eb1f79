//===- RoutingOps.td - Which token goes where --------------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_IR_ROUTINGOPS
#define MOE_IR_ROUTINGOPS

include "moe/IR/OpBase.td"

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
  let arguments = (ins MoE_Rows2:$key, I64Attr:$k, Optional<1DTensorOf<[F32, BF16, F16]>>:$bias,
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

    Canonicalisation: a sum that is 0 and a factor that is 1 are dropped.

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
  let hasCanonicalizer = 1;
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

#endif // MOE_IR_ROUTINGOPS

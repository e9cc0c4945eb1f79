//===- MoEOps.td - Operations of the moe dialect ---------------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every constraint that a verifier of ours checks has a label, <op>_c<n>, which also stands at the verifier's line and
// names its case in test/IR/invalid*.mlir.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_IR_MOEOPS_TD
#define MOE_IR_MOEOPS_TD

include "moe/IR/ExpertOps.td"
include "moe/IR/RoutingOps.td"
include "moe/IR/TrainingOps.td"

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

    With `packed`, `weights` is laid out in panels of 32 columns as `moe.parameter ... pack` makes them in this format;
    leading extents are the experts, if there are offsets. The weights of a format of bytes are what their elements and
    scales stand for.

    With `compute bf16`, rows and what weights stand for are rounded to bf16 first, to nearest even: a factor of at most
    `1 + 2^-8` for each; a weight of magnitude below `2^-126` may become 0. With `compute int8`, rows become integers with a
    scale: one for a row where the format is `int8`, one for 32 elements where weights have scales for 32. With `a` the
    largest magnitude, the scale is `a/127`, and the integer is the element times `127/a`, rounded to nearest even, or 0
    where `a` is below `2^-120`. Sums of products of integers are exact, then scaled and added in f32. A row that is not
    finite has results that are not.

    Canonicalisation: with one expert the offsets are dropped, since every row that is specified is that expert's.

    - `grouped_matmul_c1`: weights are `[E,out,in]` with offsets and `[out,in]` without, all static.
    - `grouped_matmul_c2`: `in` is the number of columns of `rows`, `out` that of `outs`.
    - `grouped_matmul_c3`: offsets have `E+1` elements.
    - `grouped_matmul_c4`: `rows` and `outs` have the same number of rows.
    - `grouped_matmul_c5`: packed weights have the type of the packed layout; others are floats.
    - `grouped_matmul_c6`: `compute bf16` goes with weights packed as `bf16`, `int8`, `q8_0`, `q4_0` and `mxfp4`,
      `compute int8` with the last four.

    Lifespan: created by importers; those between dispatch and combine are fused into `moe.expert_ffn`; the others stay
    to the form *buffers*.

    ```mlir
    %y = moe.grouped_matmul ins(%xs, %w : tensor<?x160xf32>, tensor<16x96x160xbf16>)
           offsets(%offsets : tensor<17xi32>) outs(%init : tensor<?x96xf32>) -> tensor<?x96xf32>
    ```
  }];
  let arguments = (ins MoE_ShapedOf<[F32], [2]>:$rows,
                   MoE_ShapedOf<[F32, BF16, F16, I8], [2, 3, 4, 6, 7]>:$weights,
                   Optional<MoE_ShapedOf<[I32], [1]>>:$offsets,
                   MoE_ShapedOf<[F32], [2]>:$init,
                   OptionalAttr<MoE_PackFormat>:$packed,
                   DefaultValuedAttr<MoE_Compute, "::mlir::moe::Compute::F32">:$compute);
  let results = (outs Optional<MoE_Rows2>:$result);
  let assemblyFormat = [{
    (`packed` $packed^)? (`compute` $compute^)? `ins` `(` $rows `,` $weights `:` type($rows) `,` type($weights) `)`
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
    The composition of `moe.score`, `moe.select` on the scores and `moe.weigh`, with the clauses of each: logits `[T,E]`
    to indices `[T,k]` and weights `[T,k]`. With `by_logits`, the logits are selected on instead; with `of_chosen` too,
    and it is the weights of `moe.select`'s slots, logits, that become scores: `score(weigh(logits, select(logits)))`.

    - `route_c1`: the number of experts is static and `1 <= k <= E`.
    - `route_c2`: indices and weights have the same shape and one row per row of logits.
    - `route_c3`: bias and groups are as `select_c2` and `select_c3` say, `plus` and `at_least` as `weigh_c2` says.
    - `route_c4`: `of_chosen` excludes `by_logits`, bounds and the clauses of `moe.weigh`.

    Lifespan: created by `--moe-fuse-route`; lowered in the form *buffers*.

    ```mlir
    %idx, %w = moe.route sigmoid ins(%logits : tensor<?x16xf32>) bias(%bias : tensor<16xf32>)
                 groups <4 keep 2 by 2 fill neg_inf> norm sum plus 1.0e-20 scale 2.5
                 outs(%a, %b : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
    ```
  }];
  let arguments = (ins MoE_ScoreFn:$fn, UnitAttr:$by_logits, UnitAttr:$of_chosen, MoE_ShapedOf<[F32], [2]>:$logits,
                   Optional<MoE_ShapedOf<[F32, BF16, F16], [1]>>:$bias,
                   MoE_ShapedOf<[I32], [2]>:$idxInit,
                   MoE_ShapedOf<[F32], [2]>:$weightsInit,
                   OptionalAttr<MoE_GroupsAttr>:$groups, OptionalAttr<F32Attr>:$above, OptionalAttr<F32Attr>:$until,
                   DefaultValuedAttr<MoE_Norm, "::mlir::moe::Norm::None">:$norm,
                   OptionalAttr<F32Attr>:$plus, OptionalAttr<F32Attr>:$at_least, OptionalAttr<F32Attr>:$scale);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $fn (`by_logits` $by_logits^)? (`of_chosen` $of_chosen^)? `ins` `(` $logits `:` type($logits) `)`
    (`bias` `(` $bias^ `:` type($bias) `)`)? (`groups` $groups^)? (`above` $above^)? (`until` $until^)?
    (`norm` $norm^)? (`plus` $plus^)? (`at_least` $at_least^)? (`scale` $scale^)?
    `outs` `(` $idxInit `,` $weightsInit `:` type($idxInit) `,` type($weightsInit) `)` attr-dict
    (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    MutableOperandRange getDpsInitsMutable() {
      return MutableOperandRange(getOperation(), getNumOperands() - 2, /*length=*/2);
    }
    /// The number of experts, E.
    int64_t getNumExperts();
    /// The number of slots of a token, k.
    int64_t getK();
  }];
}

def MoE_ExpertFfnOp : MoE_DestinationOp<"expert_ffn", [AttrSizedOperandSegments]> {
  let summary = "sends each token through its experts and adds the weighted results: assign to combine";
  let description = [{
    The composition of `moe.assign`, `moe.dispatch`, two grouped matmuls (gate and up), `moe.glu` with its clauses, a third
    (down) and `moe.combine`: `y[t] = sum_j w[t,j] * down[e] glu(gate[e] x[t], up[e] x[t])` with `e = idx[t,j]`, added in
    slot order, skipping `-1`. With an activation that has no gate, `down[e] glu(up[e] x[t])`. `biases` of experts are
    added to each product, as `moe.group_add` does.

    Weights are gate `[E,I,H]`, up `[E,I,H]` and down `[E,H,I]`, biases `[E,I]`, `[E,I]` and `[E,H]`; without a gate, all
    but the first. With `packed`, gate and up are one operand, interleaved, weights are laid out as
    `moe.parameter ... pack` makes them in this format, and `inner` is `I`. `compute` is that of the products, as in
    `moe.grouped_matmul`, so that the rows between them are rounded, too.

    - `expert_ffn_c1`: three weights, or two with `packed` or without a gate, static.
    - `expert_ffn_c2`: extents of the weights agree with one another and with the rows; packed weights have the types of
      the packed layout, others are floats.
    - `expert_ffn_c3`: rows, indices, weights of slots and `outs` have the same number of tokens; indices and weights
      the same shape.
    - `expert_ffn_c4`: `inner` is given with `packed` only, and is at least 1.
    - `expert_ffn_c5`: `compute` and `packed` go together as in `moe.grouped_matmul`.
    - `expert_ffn_c6`: the activation is as `glu_c1` to `glu_c3` say.
    - `expert_ffn_c7`: no biases, or one for each product, static.

    Lifespan: created by `--moe-fuse-expert-ffn`; lowered in the form *buffers*.

    ```mlir
    %y = moe.expert_ffn swiglu alpha 1.702 offset 1.0 limit 7.0
           ins(%x, %idx, %w : tensor<?x160xf32>, tensor<?x4xi32>, tensor<?x4xf32>)
           weights(%gate, %up, %down : tensor<16x96x160xf32>, tensor<16x96x160xf32>, tensor<16x160x96xf32>)
           biases(%b, %c, %d : tensor<16x96xf32>, tensor<16x96xf32>, tensor<16x160xf32>)
           outs(%init : tensor<?x160xf32>) -> tensor<?x160xf32>
    ```
  }];
  let arguments = (ins MoE_GluKind:$kind, OptionalAttr<F32Attr>:$alpha, OptionalAttr<F32Attr>:$beta,
                   OptionalAttr<F32Attr>:$offset, OptionalAttr<F32Attr>:$limit, UnitAttr:$post,
                   MoE_ShapedOf<[F32], [2]>:$x,
                   MoE_ShapedOf<[I32], [2]>:$idx,
                   MoE_ShapedOf<[F32], [2]>:$slotWeights,
                   Variadic<MoE_ShapedOf<[F32, BF16, F16, I8], [3, 4, 7]>>:$weights,
                   Variadic<MoE_ShapedOf<[F32, BF16, F16], [2]>>:$biases,
                   MoE_ShapedOf<[F32], [2]>:$init,
                   OptionalAttr<MoE_PackFormat>:$packed, OptionalAttr<I64Attr>:$inner,
                   DefaultValuedAttr<MoE_Compute, "::mlir::moe::Compute::F32">:$compute);
  let results = (outs Optional<MoE_Rows2>:$result);
  let assemblyFormat = [{
    $kind (`alpha` $alpha^)? (`beta` $beta^)? (`offset` $offset^)? (`limit` $limit^)? (`post` $post^)?
    (`packed` $packed^ `inner` $inner)? (`compute` $compute^)?
    `ins` `(` $x `,` $idx `,` $slotWeights `:` type($x) `,` type($idx) `,` type($slotWeights) `)`
    `weights` `(` $weights `:` type($weights) `)` (`biases` `(` $biases^ `:` type($biases) `)`)?
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($result)^)?
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    MutableOperandRange getDpsInitsMutable() { return getInitMutable(); }
    /// The number of experts, E.
    int64_t getNumExperts();
    GluClauses getClauses() {
      return {getKind(), getAlphaAttr(), getBetaAttr(), getOffsetAttr(), getLimitAttr(), getPost()};
    }
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
    position `past[b]`, its cache is `[layer, slot[b]]` of `k_cache`, `v_cache` `[L,slots,kv,max_len,D]`. Query head
    `h` reads key/value head `h / (heads/kv)`. A row at position `p` sees the positions `j <= p`, or with `lengths` `[B]`
    the positions `j < lengths[b]`, as encoders and attention to an encoder's result do; with a `window` `w`, those of
    them with `j > p - w`; with a `chunk` `c`, those with `j >= floor(p/c) * c`. A row that sees nothing is NaN, or 0
    with `sinks`.

    `o = sum_j w_j v_j` with `w_j = exp(s_j) / (exp(sink_h) + sum_j exp(s_j))`, `s_j = scale * q.k_j` over what the row
    sees. A sink is one learned logit per query head without a value; without `sinks` there is no such term. A `bias`
    `[heads,2r+1]` adds `bias[h, r + min(max(j - p, -r), r)]` to `s_j`: T5's position buckets, written out by distance.
    With `softcap` `a`, `s_j` then becomes `a * tanh(s_j / a)`. Key blocks are walked in ascending order, aligned to
    absolute positions, so chunked, whole and batched calls agree in bits.

    Both caches may be the same memref. Latent attention in its absorbed form (DeepSeek-V2, arXiv:2405.04434) caches one
    row for all heads, `[L,slots,1,max_len,kv_lora+rope]`: a query is multiplied with the key's half of the
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
           cache(%k_cache, %v_cache at %l : memref<4x?x4x?x40xf32>) sinks(%sinks : tensor<4xf32>)
           outs(%init : tensor<?x4x40xf32>) {scale = 0.158 : f32, window = 128 : i64} -> tensor<?x4x40xf32>
    ```
  }];
  let arguments = (ins MoE_ShapedOf<[F32], [3]>:$q, MoE_ShapedOf<[I32], [1]>:$cu,
                   MoE_ShapedOf<[I32], [1]>:$past, MoE_ShapedOf<[I32], [1]>:$slot,
                   MemRefRankOf<[F32], [5]>:$kCache, MemRefRankOf<[F32], [5]>:$vCache,
                   Index:$layer, Optional<MoE_ShapedOf<[I32], [1]>>:$lengths,
                   Optional<MoE_ShapedOf<[F32], [2]>>:$bias, Optional<MoE_ShapedOf<[F32, BF16, F16], [1]>>:$sinks,
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
    Head `h` of row `r` of sequence `b` goes to `cache[layer, slot[b], h, past[b] + r - cu[b]]`.

    - `cache_update_c1`: rows `[N,kv,D]` and cache `[L,slots,kv,max_len,D]` have the same static kv and D.

    Lifespan: created by importers; lowered in the form *buffers*.

    ```mlir
    moe.cache_update %k, %cu, %past, %slot into %k_cache[%l]
        : tensor<?x4x40xf32>, tensor<?xi32>, tensor<?xi32>, tensor<?xi32>, memref<4x?x4x?x40xf32>
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

def MoE_NumThreadsOp : MoE_Op<"num_threads", [Pure]> {
  let summary = "the number of threads of the call";
  let description = [{
    Lifespan: created where work is divided; lowered by `--moe-lower-call`.

    ```mlir
    %n = moe.num_threads
    ```
  }];
  let results = (outs Index:$result);
  let assemblyFormat = "attr-dict";
  let builders = [OpBuilder<(ins), [{ build($_builder, $_state, $_builder.getIndexType()); }]>];
}

def MoE_PanelMatmulOp : MoE_Op<"panel_matmul"> {
  let summary = "multiplies packed rows by one panel of a packed weight";
  let description = [{
    `sums[s + 32i + c] += sum_k row[i,k] * w[k,c]` for `count` rows, `k` from `lower` to `upper`, and the 32 columns `c` of
    the panel that begins at element `at` of the weights; where `lower` is 0, the sums begin at 0. Rows of `depth` elements
    are packed for this kernel, from byte `first` on, in tiles (lib/CPU/RowLayout.h), and rounded as `compute` says. The
    weights are packed as `format` says. Bounds of `k` are `depth` or multiples of 64. Sums are complete when `upper` is
    `depth`: before, they may lack scales.

    Each sum has one accumulator that starts at 0 and takes fused multiply-adds in f32 with `k` ascending; with
    `compute int8`, exact sums of integers within a group that shares scales. So its bits do not depend on the number of
    rows, nor on how `k` was cut.

    Meanwhile the weights are prefetched some way ahead (lib/CPU/TargetModel.h): the rest of this range, and what follows
    it, a range that begins at element `from` of the buffer `ahead`.

    - `panel_matmul_c1`: weights have the elements of the format.
    - `panel_matmul_c2`: `compute` and the format go together as in `moe.grouped_matmul`.

    Lifespan: created where `--moe-cpu-lower-expert-ffn` and `--moe-cpu-lower-grouped-matmul` lower products; lowered by
    `--moe-cpu-lower-panels`.

    ```mlir
    moe.panel_matmul bf16 rows(%rows[%first] count %n : memref<?xi8>) depth 160 k(%lower to %upper)
      panel(%w[%at] : memref<?xbf16>) into(%sums[%s] : memref<?xf32>) ahead(%w[%from] : memref<?xbf16>)
    ```
  }];
  let arguments = (ins MoE_PackFormat:$format, DefaultValuedAttr<MoE_Compute, "::mlir::moe::Compute::F32">:$compute,
                   Arg<MemRefRankOf<[I8], [1]>, "", [MemRead]>:$rows, Index:$first, Index:$count,
                   I64Attr:$depth, Index:$lower, Index:$upper,
                   Arg<MemRefRankOf<[F32, BF16, F16, I8], [1]>, "", [MemRead]>:$weights, Index:$at,
                   Arg<MemRefRankOf<[F32], [1]>, "", [MemRead, MemWrite]>:$sums, Index:$begin,
                   MemRefRankOf<[F32, BF16, F16, I8], [1]>:$ahead, Index:$from);
  let assemblyFormat = [{
    $format (`compute` $compute^)? `rows` `(` $rows `[` $first `]` `count` $count `:` type($rows) `)` `depth` $depth
    `k` `(` $lower `to` $upper `)` `panel` `(` $weights `[` $at `]` `:` type($weights) `)`
    `into` `(` $sums `[` $begin `]` `:` type($sums) `)` `ahead` `(` $ahead `[` $from `]` `:` type($ahead) `)` attr-dict
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
    checkpoint's, i8 for bytes (U8).

    The others are derived by a step of the parameter program. A package holds what code loads, not the sources of that.

    With `view of`, element `[i...]` is element `map(i...)` of the source: a half, every other row, a transposed or a
    reshaped matrix of a fused weight. Rows are made one at a time, from the source's own.

    With `mxfp4 of [blocks, scales]`, 4-bit floats become bf16 (OCP Microscaling Formats 1.0, sections 5.1 to 5.3): byte
    `b` of group `g` holds elements `32g+2b`, in its low half, and `32g+2b+1`. An element is `0`, `0.5`, `1`, `1.5`, `2`,
    `3`, `4` or `6` by its low three bits, negative by its fourth, times `2^(scale - 127)`. This is exact: at most two
    significant bits, and the smallest nonzero value, `2^-128`, is among the subnormal numbers of bf16. From scale 253 on,
    values of at least `2^128` become infinite, as in f32. A scale of 255 makes NaN.

    With `fp8 of [elements, scales]`, 8-bit floats (E4M3, arXiv:2209.05433) become bf16 or f32, as DeepSeek-V3
    (arXiv:2412.19437, section 3.3.2) stores them: of a matrix `[out,in]`, blocks of 128 by 128 have a scale each, in
    `[ceil(out/128), ceil(in/128)]`. An element is multiplied by its scale in f32, and rounded to bf16 if it becomes that.
    The codes 0x7f and 0xff make NaN.

    With `pack of`, a matrix `[out,in]` becomes panels of 32 columns (leading extents stay), and elements are rounded to
    the type of this parameter, to nearest even. Elements out of range are 0. Of two sources, panel `p` holds columns
    `16p..16p+15` of the first and then the same columns of the second, so that one pass over a panel yields gate and up.

    - f32 and f16: `[ceil(out/32)][in][32]`, where element `[p][k][c]` is `W[32p+c][k]`;
    - bf16: `[ceil(out/32)][ceil(in/32)][2][16][16][2]`, where element `[p][b][h][q][c][i]` is `W[32p+16h+c][32b+2q+i]`.

    With `pack <format> of`, a panel is bytes, and this parameter is `[..., ceil(out/32), bytes]` of i8. Scales lie behind
    the elements that they scale. With `a` the largest magnitude of what shares a scale, and `k` the input:

    - `int8`: `[ceil(in/64)][2][16][16][4]` bytes, then 32 scales of f32. Byte `[b][h][r][c][j]` is `q + 128` of column
      `16h+c` and `k = 64b+4r+j`. A column has one scale `a/127`; `q` is the element over it, rounded to nearest even, at
      most 127 in magnitude.
    - `q8_0` (ggml): per 32 inputs `[8][32][4]` bytes, then 32 scales of f16. Byte `[r][c][j]` is `q + 128` of column `c`
      and `k = 32b+4r+j`. The scale is `a/127`; `q` is the element times its reciprocal, halves rounded away from 0.
    - `q4_0` (ggml): per 32 inputs `[4][32][4]` bytes, then 32 scales of f16. Byte `[r][c][j]` holds `q + 8` of
      `k = 32b+8r+j` in its low half and of `k+4` in its high half. The scale is `m/-8`, with `m` the first element of
      magnitude `a`; `q + 8` is the element times its reciprocal plus 8.5, rounded down, at most 15.
    - `mxfp4` (OCP Microscaling Formats 1.0): per 64 inputs `[8][32][4]` bytes, then two rows of 32 scales of E8M0, each
      row for 32 inputs. Byte `[r][c][j]` holds the E2M1 code of `k = 64b+8r+j` in its low half and of `k+4` in its high
      half. The scale is `2^(floor(log2 a) - 2)`; a code is the nearest, the even one of two, and 6 for what is larger
      (section 6.3). Packing what was MXFP4 is exact.

    Reciprocals and quotients are of f32, taken before a scale becomes f16; where a scale or its reciprocal leaves f32,
    elements are 0.

    - `parameter_c1`: exactly one of `from`, `view of`, `mxfp4 of`, `fp8 of` and `pack of`.
    - `parameter_c2`: the shape is static.
    - `parameter_c3`: placeholders are `{0}` to `{n-1}`, each once, and n is at most the rank.
    - `parameter_c4`: `at` has one list per placeholder, as long as the extent.
    - `parameter_c5`: one or two sources to pack, which exist, are not packed, have one type and pack to this type. A
      format of bytes is named; others are the element's type.
    - `parameter_c6`: the source of a view stands before it, is not packed and has its element type.
    - `parameter_c7`: the map of a view has a dimension per extent of it and a result per extent of the source, no symbols,
      and positive divisors.
    - `parameter_c8`: the map of a view stays in the source's range.
    - `parameter_c9`: `mxfp4` has two sources that are read `from` the checkpoint with as many placeholders, blocks
      `[..., G, 16]` and scales `[..., G]` of i8, and is `[..., 32G]` of bf16.
    - `parameter_c10`: `fp8` has two sources that are read `from` the checkpoint with as many placeholders, elements
      `[..., out, in]` of f8E4M3FN and their scales of f32, and is `[..., out, in]` of bf16 or f32.

    Lifespan: created by importers and `--moe-cpu-pack-weights` (`pack of`); read by the parameter program when the
    package is written.

    ```mlir
    moe.parameter @up : tensor<4x16x96x160xbf16> from "model.layers.{0}.mlp.experts.{1}.up_proj.weight"
    moe.parameter @up.packed : tensor<4x16x3x5x2x16x16x2xbf16> pack of [@up]
    moe.parameter @up.packed_q4_0 : tensor<4x16x3x2880xi8> pack q4_0 of [@up]

    moe.parameter @blocks : tensor<4x16x192x5x16xi8> from "model.layers.{0}.mlp.experts.gate_up_proj_blocks"
    moe.parameter @scales : tensor<4x16x192x5xi8> from "model.layers.{0}.mlp.experts.gate_up_proj_scales"
    moe.parameter @gate_up : tensor<4x16x192x160xbf16> mxfp4 of [@blocks, @scales]
    moe.parameter @gate : tensor<4x16x96x160xbf16> view of @gate_up by affine_map<(l, e, i, h) -> (l, e, 2 * i, h)>

    moe.parameter @down.fp8 : tensor<4x16x160x96xf8E4M3FN> from "model.layers.{0}.mlp.experts.{1}.down_proj.weight"
    moe.parameter @down.scales : tensor<4x16x2x1xf32> from "model.layers.{0}.mlp.experts.{1}.down_proj.weight_scale_inv"
    moe.parameter @down : tensor<4x16x160x96xbf16> fp8 of [@down.fp8, @down.scales]
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<RankedTensorOf<[F32, BF16, F16, I8, F8E4M3FN]>>:$type,
                   OptionalAttr<StrAttr>:$source, OptionalAttr<ArrayAttr>:$indices,
                   OptionalAttr<FlatSymbolRefAttr>:$viewed, OptionalAttr<AffineMapAttr>:$map,
                   OptionalAttr<FlatSymbolRefArrayAttr>:$expanded,
                   OptionalAttr<FlatSymbolRefArrayAttr>:$scaled,
                   OptionalAttr<MoE_PackFormat>:$format,
                   OptionalAttr<FlatSymbolRefArrayAttr>:$packed);
  let assemblyFormat = [{
    $sym_name `:` $type (`from` $source^ (`at` $indices^)?)? (`view` `of` $viewed^ `by` $map)?
    (`mxfp4` `of` $expanded^)? (`fp8` `of` $scaled^)? (`pack` ($format^)? `of` $packed^)? attr-dict
  }];
  let builders = [
    OpBuilder<(ins "::llvm::StringRef":$name, "::mlir::RankedTensorType":$matrices,
                   "::mlir::moe::PackFormat":$format, "::mlir::ArrayAttr":$packed)>];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType getTensorType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getType());
    }

    /// The format of a packed parameter.
    ::mlir::moe::PackFormat getPackFormat();

    /// Names of the parameters that this one is derived from; none of one that is
    /// read from the checkpoint.
    ::llvm::SmallVector<::mlir::FlatSymbolRefAttr> getSourceNames();
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
  let results = (outs AnyTypeOf<[RankedTensorOf<[F32, BF16, F16, I8]>,
                                 AnyStaticShapeMemRef]>:$result);
  let assemblyFormat =
      "$parameter (`[` $indices^ `]`)? attr-dict `:` type($result)";
  let hasCanonicalizer = 1;
}

#endif // MOE_IR_MOEOPS_TD

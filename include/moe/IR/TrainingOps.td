//===- TrainingOps.td - What training alone needs ----------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_IR_TRAININGOPS
#define MOE_IR_TRAININGOPS

include "moe/IR/OpBase.td"

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

#endif // MOE_IR_TRAININGOPS

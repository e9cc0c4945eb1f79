//===- Passes.td - From the graph form to the fused form -------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_FUSE_PASSES_TD
#define MOE_FUSE_PASSES_TD

include "mlir/Pass/PassBase.td"

def FuseExpertFfnPass : Pass<"moe-fuse-expert-ffn"> {
  let summary = "make one moe.expert_ffn of assign, dispatch, grouped matmuls, glu and combine";
  let description = [{
    ```mlir
    %row, %perm, %offsets = moe.assign %idx into 4 : tensor<?x2xi32>
    %xs = moe.dispatch %x by %perm top 2 : tensor<?x8xf32>, tensor<?xi32>
    %g = moe.grouped_matmul ins(%xs, %gate : ...) offsets(%offsets : ...) outs(...) -> tensor<?x16xf32>
    %u = moe.grouped_matmul ins(%xs, %up : ...) offsets(%offsets : ...) outs(...) -> tensor<?x16xf32>
    %h = moe.glu swiglu %g, %u : tensor<?x16xf32>
    %ys = moe.grouped_matmul ins(%h, %down : ...) offsets(%offsets : ...) outs(...) -> tensor<?x8xf32>
    %y = moe.combine %ys, %row, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>
    ```
    becomes
    ```mlir
    %y = moe.expert_ffn swiglu ins(%x, %idx, %w : tensor<?x8xf32>, tensor<?x2xi32>, tensor<?x2xf32>)
           weights(%gate, %up, %down : ...) outs(%empty : tensor<?x8xf32>) -> tensor<?x8xf32>
    ```

    Clauses of the activation come along, and so do the `moe.group_add` of all products. An activation without a gate has
    two products.

    Precondition: form *graph*. Postcondition: each `moe.combine` that remains carries a remark with the reason.

    Declines when the products do not share one assignment and one dispatch, when weights are packed or of several
    element types, when some products have a bias and some have none, or when a product or the activation has another
    user, which would then be computed twice.

    Contract class B: `moe.expert_ffn` is defined as this composition.
  }];
  let dependentDialects = ["::mlir::moe::MoEDialect", "::mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numFused", "num-fused", "moe.combine ops fused into a moe.expert_ffn">,
    Statistic<"numDeclined", "num-declined", "moe.combine ops left alone">];
}

def FuseRoutePass : Pass<"moe-fuse-route"> {
  let summary = "make one moe.route of score, select and weigh";
  let description = [{
    ```mlir
    %s = moe.score softmax %logits : tensor<?x16xf32>
    %idx = moe.select %s top 4 : tensor<?x16xf32>
    %w = moe.weigh %s at %idx norm sum : tensor<?x16xf32>, tensor<?x4xi32>
    ```
    becomes
    ```mlir
    %idx, %w = moe.route softmax ins(%logits : tensor<?x16xf32>) norm sum
                 outs(%empty, %empty_0 : tensor<?x4xi32>, tensor<?x4xf32>) -> tensor<?x4xi32>, tensor<?x4xf32>
    ```

    Clauses come along. The experts may also be selected by the logits (`by_logits`), or the chosen logits be scored
    (`of_chosen`).

    Precondition: form *graph*. Postcondition: each `moe.weigh` that remains carries a remark with the reason.

    Declines when the indices are not those of a `moe.select`, when its key is neither the scores nor the logits, when
    nothing is a `moe.score` or that is over tokens, and when chosen logits are bounded, scaled or used elsewhere. Scores
    that are used elsewhere stay for that.

    Contract class B: `moe.route` is defined as this composition.
  }];
  let dependentDialects = ["::mlir::moe::MoEDialect", "::mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numFused", "num-fused", "moe.weigh ops fused into a moe.route">,
    Statistic<"numDeclined", "num-declined", "moe.weigh ops left alone">];
}

#endif // MOE_FUSE_PASSES_TD

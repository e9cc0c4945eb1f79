// Gated activations.

func.func @swiglu(%gate: tensor<?x23xf32> {moe.dims = ["N", 23]}, %up: tensor<?x23xf32> {moe.dims = ["N", 23]})
    -> (tensor<?x23xf32> {moe.dims = ["N", 23]}) {
  %h = moe.glu swiglu %gate, %up : tensor<?x23xf32>
  return %h : tensor<?x23xf32>
}

// RUN: moe-opt %s --moe-lower-call -verify-diagnostics

moe.parameter @w : tensor<4xf32> from "w"

func.func private @layer() {
  // expected-error @below {{expected parameters to be loaded in entries only}}
  %w = moe.load_parameter @w : memref<4xf32>
  return
}

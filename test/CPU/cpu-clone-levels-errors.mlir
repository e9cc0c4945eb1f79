// RUN: moe-opt %s --moe-cpu-clone-levels=levels=v3 -verify-diagnostics

func.func private @layer() {
  return
}

func.func @forward() {
  // expected-error @below {{expected calls to be inlined before functions are cloned per level}}
  call @layer() : () -> ()
  return
}

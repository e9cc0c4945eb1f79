// A file is interesting while the check of the form *fused* finds a buffer in it; functions and ops that do not matter
// for that go.
// RUN: printf '#!/bin/sh\n! moe-opt --moe-verify-form=form=fused "$1" 2>&1 | grep -q "expected tensors"\n' > %t.sh
// RUN: chmod +x %t.sh
// RUN: moe-reduce %s --reduction-tree='traversal-mode=0 test=%t.sh' | FileCheck %s

// CHECK:      func.func @wrong(
// CHECK-NEXT:   moe.score softmax
// CHECK-NEXT:   moe.grouped_matmul
// CHECK-NEXT:   return
// CHECK-NOT:  func.func
func.func @wrong(%x: memref<?x36xf32>, %w: memref<23x36xf32>, %y: memref<?x23xf32>, %l: tensor<?x16xf32>)
    -> tensor<?x16xf32> {
  %s = moe.score softmax %l : tensor<?x16xf32>
  moe.grouped_matmul ins(%x, %w : memref<?x36xf32>, memref<23x36xf32>) outs(%y : memref<?x23xf32>)
  %r = moe.score relu %l : tensor<?x16xf32>
  return %s : tensor<?x16xf32>
}

func.func @right(%l: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %s = moe.score sigmoid %l : tensor<?x16xf32>
  return %s : tensor<?x16xf32>
}

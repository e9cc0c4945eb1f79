// RUN: moe-compile %s --isa=neon --emit=shared -o %t.so
// RUN: llvm-objdump -d --no-show-raw-insn %t.so | FileCheck %s
// RUN: llvm-readelf --dynamic --dyn-syms %t.so | FileCheck %s --check-prefix=LIBRARIES
// RUN: not moe-compile %s --isa=neon --compute=int8 --format=q8_0 --emit=object -o %t.o 2>&1 | FileCheck %s --check-prefix=INT8

// Only the C library is needed: there are no threads.
//
// LIBRARIES-NOT:  Shared library:
// LIBRARIES:      Shared library: [libm.so.6]
// LIBRARIES-NOT:  Shared library:
// LIBRARIES-DAG:  UND sinf
// LIBRARIES-DAG:  OBJECT GLOBAL {{.*}} moe_module_info

// INT8: error: 'moe.grouped_matmul' op expected a level with dot products for compute int8, such as vnni, got neon

// Elements of rows are lanes of registers, and neither they nor sums are kept on the stack.
//
// CHECK-LABEL: <moe.panel.f32.f32.neon>:
// CHECK-NOT:     {{(ld|st)[rp].*q[0-9]+, \[sp}}
// CHECK:         fmla v{{[0-9]+}}.4s, v{{[0-9]+}}.4s, v{{[0-9]+}}.s[3]
// CHECK-NOT:     {{(ld|st)[rp].*q[0-9]+, \[sp}}
// CHECK:       <{{.*}}>:

moe.parameter @w : tensor<64x160xf32> from "w"

func.func @product(%x: tensor<?x160xf32>) -> tensor<?x64xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x160xf32>
  %init = tensor.empty(%n) : tensor<?x64xf32>
  %w = moe.load_parameter @w : tensor<64x160xf32>
  %y = moe.grouped_matmul ins(%x, %w : tensor<?x160xf32>, tensor<64x160xf32>)
         outs(%init : tensor<?x64xf32>) -> tensor<?x64xf32>
  %z = linalg.generic {
         indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
         iterator_types = ["parallel", "parallel"]} ins(%y : tensor<?x64xf32>) outs(%init : tensor<?x64xf32>) {
    ^bb0(%in: f32, %out: f32):
      %sin = math.sin %in : f32
      linalg.yield %sin : f32
  } -> tensor<?x64xf32>
  return %z : tensor<?x64xf32>
}

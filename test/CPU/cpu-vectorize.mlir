// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: moe-opt %s --moe-cpu-vectorize --canonicalize | FileCheck %s

#rows = affine_map<(n, d) -> (n, d)>
#row = affine_map<(n, d) -> (n)>

// Whole vectors in a loop, the rest of a row masked, what is the same for all
// lanes read as a scalar.
// CHECK-LABEL: func @elementwise(
// CHECK-SAME:    %[[X:.*]]: memref<?x20xf32>, %[[S:.*]]: memref<?xf32>, %[[Y:.*]]: memref<?x20xf32>
// CHECK:           scf.parallel (%[[N:.*]]) =
// CHECK:             vector.load %[[X]][%[[N]], %{{.*}}] : memref<?x20xf32>, vector<16xf32>
// CHECK:             memref.load %[[S]][%[[N]]]
// CHECK:             arith.mulf %{{.*}} : vector<16xf32>
// CHECK:             vector.store
// CHECK:             %[[MASK:.*]] = vector.constant_mask [4]
// CHECK:             vector.maskedload %[[X]]
// CHECK:             vector.maskedstore %[[Y]]
// CHECK:           } {moe.work = 80 : i64}
func.func @elementwise(%x: memref<?x20xf32>, %s: memref<?xf32>, %y: memref<?x20xf32>)
    attributes {moe.isa = "v4"} {
  linalg.generic {indexing_maps = [#rows, #row, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%x, %s : memref<?x20xf32>, memref<?xf32>) outs(%y : memref<?x20xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %m = arith.mulf %a, %b : f32
    linalg.yield %m : f32
  }
  return
}

// A sum has one partial sum per lane; the lanes are added in halves.
// CHECK-LABEL: func @sum(
// CHECK:         %[[LANES:.*]] = scf.for {{.*}} -> (vector<8xf32>)
// CHECK:         vector.extract_strided_slice %[[LANES]] {offsets = [0], sizes = [4]
// CHECK:         vector.extract_strided_slice %[[LANES]] {offsets = [4], sizes = [4]
// CHECK:         arith.addf %{{.*}} : vector<4xf32>
// CHECK:         arith.addf %{{.*}} : vector<2xf32>
// CHECK:         memref.store
func.func @sum(%x: memref<?x16xf32>, %y: memref<?xf32>) attributes {moe.isa = "v3"} {
  linalg.generic {indexing_maps = [#rows, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<?x16xf32>) outs(%y : memref<?xf32>) {
  ^bb0(%a: f32, %out: f32):
    %m = arith.mulf %a, %a : f32
    %s = arith.addf %out, %m : f32
    linalg.yield %s : f32
  }
  return
}

// A gather of rows reads vectors of the row that it is sent to.
// CHECK-LABEL: func @gather(
// CHECK-SAME:    %[[T:.*]]: memref<?xi32>, %[[W:.*]]: memref<9x16xbf16>
// CHECK:         %[[TOKEN:.*]] = memref.load %[[T]]
// CHECK:         %[[ROW:.*]] = arith.index_cast %[[TOKEN]]
// CHECK:         %[[V:.*]] = vector.load %[[W]][%[[ROW]], %{{.*}}] : memref<9x16xbf16>, vector<16xbf16>
// CHECK:         arith.extf %[[V]]
func.func @gather(%tokens: memref<?xi32>, %w: memref<9x16xbf16>, %y: memref<?x16xf32>)
    attributes {moe.isa = "v4"} {
  linalg.generic {indexing_maps = [#row, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%tokens : memref<?xi32>) outs(%y : memref<?x16xf32>) {
  ^bb0(%token: i32, %out: f32):
    %r = arith.index_cast %token : i32 to index
    %d = linalg.index 1 : index
    %v = memref.load %w[%r, %d] : memref<9x16xbf16>
    %f = arith.extf %v : bf16 to f32
    linalg.yield %f : f32
  }
  return
}

// Each lane of its own row stays for scalar loops.
// CHECK-LABEL: func @gather_lanes(
// CHECK:         linalg.generic
func.func @gather_lanes(%tokens: memref<?x16xi32>, %w: memref<9x16xf32>, %y: memref<?x16xf32>)
    attributes {moe.isa = "v4"} {
  linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%tokens : memref<?x16xi32>) outs(%y : memref<?x16xf32>) {
  ^bb0(%token: i32, %out: f32):
    %r = arith.index_cast %token : i32 to index
    %d = linalg.index 1 : index
    %v = memref.load %w[%r, %d] : memref<9x16xf32>
    linalg.yield %v : f32
  }
  return
}

// A dynamic row stays for scalar loops.
// CHECK-LABEL: func @dynamic(
// CHECK:         linalg.generic
func.func @dynamic(%x: memref<?x?xf32>, %y: memref<?x?xf32>) attributes {moe.isa = "v4"} {
  linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%x : memref<?x?xf32>) outs(%y : memref<?x?xf32>) {
  ^bb0(%a: f32, %out: f32):
    linalg.yield %a : f32
  }
  return
}

// The number of an element differs from lane to lane, and stays for scalar loops.
// CHECK-LABEL: func @number(
// CHECK:         linalg.generic
func.func @number(%y: memref<?x16xi32>) attributes {moe.isa = "v4"} {
  linalg.generic {indexing_maps = [#rows], iterator_types = ["parallel", "parallel"]} outs(%y : memref<?x16xi32>) {
  ^bb0(%out: i32):
    %d = linalg.index 1 : index
    %n = arith.index_cast %d : index to i32
    linalg.yield %n : i32
  }
  return
}

// Conditions are bytes in a buffer, which they are not in a vector.
// CHECK-LABEL: func @conditions(
// CHECK:         linalg.generic
func.func @conditions(%x: memref<?x16xf32>, %y: memref<?x16xi1>) attributes {moe.isa = "v4"} {
  %zero = arith.constant 0.0 : f32
  linalg.generic {indexing_maps = [#rows, #rows], iterator_types = ["parallel", "parallel"]}
      ins(%x : memref<?x16xf32>) outs(%y : memref<?x16xi1>) {
  ^bb0(%a: f32, %out: i1):
    %c = arith.cmpf ogt, %a, %zero : f32
    linalg.yield %c : i1
  }
  return
}

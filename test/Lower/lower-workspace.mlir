// RUN: moe-opt %s --moe-lower-workspace | FileCheck %s

// The query computes sizes from extents: here 4 * T bytes, rounded up to 64.
// CHECK-LABEL: func @place.workspace(
// CHECK-SAME:    %{{.*}}: !llvm.ptr, %[[X:[^:]*]]: memref<?xf32>) -> i64 {
// CHECK:         %[[ELEMENT:.*]] = arith.constant 4 : index
// CHECK:         %[[T:.*]] = memref.dim %[[X]]
// CHECK:         %[[BYTES:.*]] = arith.muli %[[ELEMENT]], %[[T]]
// CHECK:         %[[END:.*]] = arith.addi %{{.*}}, %[[BYTES]]
// CHECK:         %[[UP:.*]] = arith.addi %[[END]], %c63
// CHECK:         %[[ROUNDED:.*]] = arith.andi %[[UP]], %c-64
// CHECK:         %[[RESULT:.*]] = arith.index_cast %[[ROUNDED]]
// CHECK:         return %[[RESULT]]

// A buffer is a view of the call's workspace.
// CHECK-LABEL: func @place(
// CHECK-SAME:    %[[CALL:[^:]*]]: !llvm.ptr, %[[X:[^:]*]]: memref<?xf32>
func.func @place(%call: !llvm.ptr, %x: memref<?xf32>) {
  // CHECK: %[[T:.*]] = memref.dim %[[X]]
  // CHECK: %[[FIELD:.*]] = llvm.getelementptr %[[CALL]][1] : (!llvm.ptr) -> !llvm.ptr, i64
  // CHECK: llvm.load %[[FIELD]]
  // CHECK: %[[WORKSPACE:.*]] = builtin.unrealized_conversion_cast %{{.*}} to memref<?xi8>
  // CHECK: %[[BUFFER:.*]] = memref.view %[[WORKSPACE]][%{{.*}}][%[[T]]] : memref<?xi8> to memref<?xf32>
  // CHECK: linalg.copy ins(%[[X]] : {{.*}}) outs(%[[BUFFER]]
  // CHECK-NOT: memref.alloc
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?xf32>
  %a = memref.alloc(%t) : memref<?xf32>
  linalg.copy ins(%x : memref<?xf32>) outs(%a : memref<?xf32>)
  linalg.copy ins(%a : memref<?xf32>) outs(%x : memref<?xf32>)
  return
}

// Buffers share memory if one is dead before the other is born and their dynamic extents are equal.
// CHECK-LABEL: func @share(
func.func @share(%call: !llvm.ptr, %x: memref<?x160xf32>, %y: memref<?x96xf32>) {
  // CHECK: memref.view %{{.*}}[%[[SLOT:.*]]][%{{.*}}] : memref<?xi8> to memref<?x96xf32>
  // CHECK: memref.view %{{.*}}[%[[SLOT]]][%{{.*}}] : memref<?xi8> to memref<?x160xf32>
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x160xf32>
  %a = memref.alloc(%t) : memref<?x96xf32>
  linalg.copy ins(%a : memref<?x96xf32>) outs(%y : memref<?x96xf32>)
  %b = memref.alloc(%t) : memref<?x160xf32>
  linalg.copy ins(%b : memref<?x160xf32>) outs(%x : memref<?x160xf32>)
  return
}

// A buffer that is used through a view stays alive.
// CHECK-LABEL: func @alias(
func.func @alias(%call: !llvm.ptr, %x: memref<16xf32>) {
  // CHECK: memref.view %{{.*}}[%[[FIRST:.*]]][] : memref<?xi8> to memref<4x4xf32>
  // CHECK-NOT: memref.view %{{.*}}[%[[FIRST]]]
  // CHECK: return
  %a = memref.alloc() : memref<4x4xf32>
  %flat = memref.collapse_shape %a [[0, 1]] : memref<4x4xf32> into memref<16xf32>
  %b = memref.alloc() : memref<16xf32>
  linalg.copy ins(%flat : memref<16xf32>) outs(%b : memref<16xf32>)
  linalg.copy ins(%b : memref<16xf32>) outs(%x : memref<16xf32>)
  return
}

// Extents are followed through a view of an argument in another shape: here T * 4.
// CHECK-LABEL: func @expanded(
// CHECK-SAME:    %{{.*}}: !llvm.ptr, %[[X:[^:]*]]: memref<?x12xf32>
func.func @expanded(%call: !llvm.ptr, %x: memref<?x12xf32>) {
  // CHECK: %[[T:.*]] = memref.dim %[[X]]
  // CHECK: %[[ROWS:.*]] = arith.muli %[[T]], %c4
  // CHECK: memref.view %{{.*}}[%{{.*}}][%[[ROWS]]] : memref<?xi8> to memref<?x3xf32>
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x12xf32>
  %split = memref.expand_shape %x [[0], [1, 2]] output_shape [%t, 4, 3] : memref<?x12xf32> into memref<?x4x3xf32>
  %rows = memref.collapse_shape %split [[0, 1], [2]] : memref<?x4x3xf32> into memref<?x3xf32>
  %n = memref.dim %rows, %c0 : memref<?x3xf32>
  %a = memref.alloc(%n) : memref<?x3xf32>
  linalg.copy ins(%a : memref<?x3xf32>) outs(%rows : memref<?x3xf32>)
  return
}

// Data decide how many tiles of 6 rows there are, but at most there are those of all T rows.
// CHECK-LABEL: func @tiles(
// CHECK-SAME:    %{{.*}}: !llvm.ptr, %[[X:[^:]*]]: memref<?xf32>
func.func @tiles(%call: !llvm.ptr, %x: memref<?xf32>, %counts: memref<1xindex>) {
  // CHECK: %[[T:.*]] = memref.dim %[[X]]
  // CHECK: %[[UP:.*]] = arith.addi %[[T]], %c5
  // CHECK: %[[TILES:.*]] = arith.divui %[[UP]], %c6
  // CHECK: memref.view %{{.*}}[%{{.*}}][%[[TILES]]] : memref<?xi8> to memref<?xf32>
  %c0 = arith.constant 0 : index
  %c5 = arith.constant 5 : index
  %c6 = arith.constant 6 : index
  %t = memref.dim %x, %c0 : memref<?xf32>
  %count = memref.load %counts[%c0] : memref<1xindex>
  %n = arith.minsi %count, %t : index
  %up = arith.addi %n, %c5 : index
  %tiles = arith.divui %up, %c6 : index
  %a = memref.alloc(%tiles) : memref<?xf32>
  linalg.copy ins(%a : memref<?xf32>) outs(%x : memref<?xf32>)
  return
}

// Where data decide about a size, a minimum bounds it: the buffer is as large as the bound, and users see its front.
// CHECK-LABEL: func @bounded.workspace(
// CHECK:         %[[T:.*]] = memref.dim
// CHECK:         %[[SLOTS:.*]] = arith.muli %[[T]], %c2
// CHECK:         arith.muli %{{.*}}, %[[SLOTS]]
// CHECK-LABEL: func @bounded(
// CHECK-SAME:    %{{.*}}: !llvm.ptr, %[[X:[^:]*]]: memref<?x160xf32>, %[[N:[^:]*]]: memref<index>
func.func @bounded(%call: !llvm.ptr, %x: memref<?x160xf32>, %n: memref<index>) {
  // CHECK-DAG: %[[T:.*]] = memref.dim %[[X]]
  // CHECK-DAG: %[[MOST:.*]] = arith.muli %[[T]], %c2
  // CHECK: %[[COUNT:.*]] = memref.load %[[N]]
  // CHECK: %[[LEAST:.*]] = arith.minsi %[[COUNT]], %[[T]]
  // CHECK: %[[SIZE:.*]] = arith.muli %[[LEAST]], %c2
  // CHECK: %[[BUFFER:.*]] = memref.view %{{.*}}[%[[MOST]]] : memref<?xi8> to memref<?x160xf32>
  // CHECK: %[[FRONT:.*]] = memref.subview %[[BUFFER]][0, 0] [%[[SIZE]], 160] [1, 1]
  // CHECK: %[[SEEN:.*]] = memref.cast %[[FRONT]]
  // CHECK: linalg.fill ins(%{{.*}} : f32) outs(%[[SEEN]]
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %zero = arith.constant 0.0 : f32
  %t = memref.dim %x, %c0 : memref<?x160xf32>
  %count = memref.load %n[] : memref<index>
  %least = arith.minsi %count, %t : index
  %size = arith.muli %least, %c2 : index
  %a = memref.alloc(%size) : memref<?x160xf32>
  linalg.fill ins(%zero : f32) outs(%a : memref<?x160xf32>)
  return
}

// A bound survives what grows with it: another minimum, rounding down to a multiple of 16.
// CHECK-LABEL: func @rounded(
// CHECK-SAME:    %{{.*}}: !llvm.ptr, %[[X:[^:]*]]: memref<?x160xf32>
func.func @rounded(%call: !llvm.ptr, %x: memref<?x160xf32>, %n: memref<index>) {
  // CHECK: %[[T:.*]] = memref.dim %[[X]]
  // CHECK: %[[MOST:.*]] = arith.minui %[[T]], %c256
  // CHECK: %[[ROOM:.*]] = arith.andi %[[MOST]], %c-16
  // CHECK: memref.view %{{.*}}[%[[ROOM]]] : memref<?xi8> to memref<?xf32>
  %c0 = arith.constant 0 : index
  %c256 = arith.constant 256 : index
  %mask = arith.constant -16 : index
  %zero = arith.constant 0.0 : f32
  %t = memref.dim %x, %c0 : memref<?x160xf32>
  %count = memref.load %n[] : memref<index>
  %least = arith.minsi %count, %t : index
  %some = arith.minui %least, %c256 : index
  %size = arith.andi %some, %mask : index
  %a = memref.alloc(%size) : memref<?xf32>
  linalg.fill ins(%zero : f32) outs(%a : memref<?xf32>)
  return
}

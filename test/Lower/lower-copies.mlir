// RUN: moe-opt %s --moe-lower-copies | FileCheck %s

// What goes to columns of a buffer is copied row by row.
// CHECK-LABEL: func @part(
// CHECK-SAME:    %[[X:[^:]*]]: memref<?x2xf32>, %[[Y:[^:]*]]: memref<?x2xf32, strided<[5, 1], offset: 3>>)
// CHECK:         linalg.generic {{.*}} ins(%[[X]] : {{.*}}) outs(%[[Y]] : {{.*}})
// CHECK-NEXT:    ^bb0(%[[E:[^:]*]]: f32, %{{.*}}: f32):
// CHECK-NEXT:      linalg.yield %[[E]]
// CHECK-NOT:     memref.copy
func.func @part(%x: memref<?x2xf32>, %y: memref<?x2xf32, strided<[5, 1], offset: 3>>) {
  memref.copy %x, %y : memref<?x2xf32> to memref<?x2xf32, strided<[5, 1], offset: 3>>
  return
}

// A whole buffer stays one copy.
// CHECK-LABEL: func @whole(
// CHECK-NEXT:    memref.copy
func.func @whole(%x: memref<?x2xf32>, %y: memref<?x2xf32>) {
  memref.copy %x, %y : memref<?x2xf32> to memref<?x2xf32>
  return
}

// RUN: moe-opt %s --moe-lower-entries | FileCheck %s

// The module lists the entries, inputs and states before outputs.
// CHECK:      module attributes {moe.functions = [
// CHECK-SAME:   {arguments = [{dtype = "f32", kind = "input", name = "x", shape = ["T", 160]},
// CHECK-SAME:     {dtype = "bf16", kind = "state", name = "cache", shape = ["max_len"]},
// CHECK-SAME:     {dtype = "f32", kind = "output", name = "y", shape = ["T", 160]}], name = "entry"}

// Arguments without names get numbers, their extents symbols, and extents of results are found among them.
// CHECK-SAME:   {arguments = [{dtype = "f32", kind = "input", name = "arg0", shape = ["arg0.0", "arg0.1"]},
// CHECK-SAME:     {dtype = "bool", kind = "input", name = "arg1", shape = [3]},
// CHECK-SAME:     {dtype = "f32", kind = "output", name = "result0", shape = ["arg0.1", "arg0.0"]}], name = "unnamed"}]}

// Arguments are read in place and results are written in place.
// CHECK-LABEL: func @entry(
// CHECK-SAME:    %[[X:[^:]*]]: memref<?x160xf32>, %{{.*}}: memref<?xbf16>, %[[Y:[^:]*]]: memref<?x160xf32>) attributes {llvm.emit_c_interface} {
// CHECK:         %[[T:.*]] = bufferization.to_tensor %[[X]] restrict :
// CHECK:         bufferization.materialize_in_destination %[[T]] in restrict writable %[[Y]]
// CHECK-NEXT:    return{{$}}
func.func @entry(%x: tensor<?x160xf32> {moe.name = "x", moe.dims = ["T", 160]},
                 %cache: memref<?xbf16> {moe.name = "cache", moe.dims = ["max_len"], moe.state})
    -> (tensor<?x160xf32> {moe.name = "y", moe.dims = ["T", 160]}) {
  return %x : tensor<?x160xf32>
}

func.func @unnamed(%x: tensor<?x?xf32>, %flags: tensor<3xi1>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %rows = tensor.dim %x, %c0 : tensor<?x?xf32>
  %columns = tensor.dim %x, %c1 : tensor<?x?xf32>
  %init = tensor.empty(%columns, %rows) : tensor<?x?xf32>
  %y = linalg.transpose ins(%x : tensor<?x?xf32>) outs(%init : tensor<?x?xf32>) permutation = [1, 0]
  return %y : tensor<?x?xf32>
}

// A private function is no entry.
// CHECK-LABEL: func private @layer(
// CHECK-SAME:    %{{.*}}: tensor<?xf32>) -> tensor<?xf32> {
func.func private @layer(%x: tensor<?xf32>) -> tensor<?xf32> {
  return %x : tensor<?xf32>
}

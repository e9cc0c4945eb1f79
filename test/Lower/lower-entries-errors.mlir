// RUN: moe-opt %s --moe-lower-entries -split-input-file -verify-diagnostics

// expected-error @below {{expected a body of one block}}
func.func @blocks(%x: tensor<?xf32>) -> tensor<?xf32> {
  cf.br ^next
^next:
  return %x : tensor<?xf32>
}

// -----

// expected-error @below {{expected tensor or memref arguments, got 'index'}}
func.func @scalar_argument(%l: index) {
  return
}

// -----

// expected-error @below {{expected tensor results, got 'memref<?xf32>'}}
func.func @memref_result(%x: memref<?xf32>) -> memref<?xf32> {
  return %x : memref<?xf32>
}

// -----

// expected-error @below {{expected `moe.dims` of 'x' to describe 'tensor<?x160xf32>', got ["T", 96]}}
func.func @dims(%x: tensor<?x160xf32> {moe.name = "x", moe.dims = ["T", 96]}) {
  return
}

// -----

// expected-error @below {{expected extent 0 of 'y' to equal an extent of an argument; name it with `moe.dims`}}
func.func @unknown_extent(%n: tensor<1xindex>) -> (tensor<?xf32> {moe.name = "y"}) {
  %c0 = arith.constant 0 : index
  %extent = tensor.extract %n[%c0] : tensor<1xindex>
  %y = tensor.empty(%extent) : tensor<?xf32>
  return %y : tensor<?xf32>
}

// -----

func.func @entry(%x: tensor<?xf32>) {
  return
}

func.func private @caller(%x: tensor<?xf32>) {
  // expected-error @below {{expected calls of private functions only, got @entry}}
  call @entry(%x) : (tensor<?xf32>) -> ()
  return
}

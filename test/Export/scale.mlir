// y = x * w[0] + w[1] for two ISA levels.

module attributes {
  moe.functions = [{name = "scale", arguments = [
    {name = "x", kind = "input", dtype = "f32", shape = ["N"]},
    {name = "y", kind = "output", dtype = "f32", shape = ["N"]}]}],
  moe.levels = [{isa = "v1", features = []},
                {isa = "v3", features = ["avx2", "fma"]}],
  moe.parameters = [@w],
  moe.model = {architecture = "scale", bos, eos = [2, 3], eps = 0.5 : f64, tied = true}
} {
  moe.parameter @w : tensor<2xf32> from "w"

  func.func private @parameter(%call: !llvm.ptr, %i: i64) -> f32 {
    %table = llvm.load %call : !llvm.ptr -> !llvm.ptr
    %w = llvm.load %table : !llvm.ptr -> !llvm.ptr
    %address = llvm.getelementptr %w[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %value = llvm.load %address : !llvm.ptr -> f32
    return %value : f32
  }

  func.func @scale.v1(%call: !llvm.ptr, %x: memref<?xf32>, %y: memref<?xf32>)
      attributes {llvm.emit_c_interface} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %0 = arith.constant 0 : i64
    %1 = arith.constant 1 : i64
    %w0 = func.call @parameter(%call, %0) : (!llvm.ptr, i64) -> f32
    %w1 = func.call @parameter(%call, %1) : (!llvm.ptr, i64) -> f32
    %n = memref.dim %x, %c0 : memref<?xf32>
    scf.for %i = %c0 to %n step %c1 {
      %a = memref.load %x[%i] : memref<?xf32>
      %b = arith.mulf %a, %w0 : f32
      %c = arith.addf %b, %w1 : f32
      memref.store %c, %y[%i] : memref<?xf32>
    }
    return
  }
  func.func @scale.v1.workspace(%call: !llvm.ptr, %x: memref<?xf32>, %y: memref<?xf32>) -> i64
      attributes {llvm.emit_c_interface} {
    %0 = arith.constant 0 : i64
    return %0 : i64
  }

  func.func @scale.v3(%call: !llvm.ptr, %x: memref<?xf32>, %y: memref<?xf32>)
      attributes {llvm.emit_c_interface, target_cpu = "x86-64-v3",
                  target_features = #llvm.target_features<["+avx2", "+fma"]>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %0 = arith.constant 0 : i64
    %1 = arith.constant 1 : i64
    %w0 = func.call @parameter(%call, %0) : (!llvm.ptr, i64) -> f32
    %w1 = func.call @parameter(%call, %1) : (!llvm.ptr, i64) -> f32
    %n = memref.dim %x, %c0 : memref<?xf32>
    scf.parallel (%i) = (%c0) to (%n) step (%c1) {
      %a = memref.load %x[%i] : memref<?xf32>
      %b = arith.mulf %a, %w0 : f32
      %c = arith.addf %b, %w1 : f32
      memref.store %c, %y[%i] : memref<?xf32>
    }
    return
  }
  func.func @scale.v3.workspace(%call: !llvm.ptr, %x: memref<?xf32>, %y: memref<?xf32>) -> i64
      attributes {llvm.emit_c_interface} {
    %c0 = arith.constant 0 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    %bytes = arith.index_cast %n : index to i64
    return %bytes : i64
  }
}

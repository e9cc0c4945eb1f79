// RUN: moe-compile %s --emit=llvm-ir -o - | FileCheck %s

module attributes {
  llvm.target_triple = "x86_64-unknown-linux-gnu",
  moe.functions = [
    {name = "f", arguments = [{name = "x", kind = "input", dtype = "i32", shape = []}]},
    {name = "g", arguments = []}],
  moe.levels = [{isa = "v3", features = ["avx2", "fma"]},
                {isa = "v4", features = ["avx512f"]}]
} {
  // One entry for each function and level, in order; one visible symbol.
  //
  // CHECK-DAG: [[F:@[^ ]+]] = private {{.*}} c"f\00"
  // CHECK-DAG: [[G:@[^ ]+]] = private {{.*}} c"g\00"
  // CHECK-DAG: [[V3:@[^ ]+]] = private {{.*}} c"v3\00"
  // CHECK-DAG: [[V3_FEATURES:@[^ ]+]] = private {{.*}} c"avx2,fma\00"
  // CHECK-DAG: [[V4:@[^ ]+]] = private {{.*}} c"v4\00"
  // CHECK-DAG: [[V4_FEATURES:@[^ ]+]] = private {{.*}} c"avx512f\00"
  // CHECK-DAG: [[COMPILER:@[^ ]+]] = private {{.*}} c"moe-mlir 0.1.0\00"
  // CHECK-DAG: [[BUILD_ID:@[^ ]+]] = private {{.*}} c"xxh3:{{[0-9a-f]+}}\00"
  // CHECK-DAG: [[V3_ENTRIES:@[^ ]+]] = private {{.*}} [{ ptr, ptr, ptr } { ptr [[F]], ptr @f.v3.entry, ptr @f.v3.workspace.entry }, { ptr, ptr, ptr } { ptr [[G]], ptr @g.v3.entry, ptr @g.v3.workspace.entry }]
  // CHECK-DAG: [[V4_ENTRIES:@[^ ]+]] = private {{.*}} [{ ptr, ptr, ptr } { ptr [[F]], ptr @f.v4.entry, ptr @f.v4.workspace.entry }, { ptr, ptr, ptr } { ptr [[G]], ptr @g.v4.entry, ptr @g.v4.workspace.entry }]
  // CHECK-DAG: [[LEVELS:@[^ ]+]] = private {{.*}} [{ ptr, ptr, i64, ptr } { ptr [[V3]], ptr [[V3_FEATURES]], i64 2, ptr [[V3_ENTRIES]] }, { ptr, ptr, i64, ptr } { ptr [[V4]], ptr [[V4_FEATURES]], i64 2, ptr [[V4_ENTRIES]] }]
  // CHECK-DAG: @moe_module_info = {{.*}}constant { i64, ptr, ptr, i64, ptr } { i64 2, ptr [[COMPILER]], ptr [[BUILD_ID]], i64 2, ptr [[LEVELS]] }

  // A function keeps its level. Its entry takes an array of descriptors and
  // loads those that the function takes.
  //
  // CHECK:       define internal {{.*}}void @_mlir_ciface_f.v3({{.*}} [[ATTRS:#[0-9]+]]
  // CHECK:       define internal void @f.v3.entry(ptr [[CALL:%[^,]+]], ptr {{.*}}[[DESCRIPTORS:%.+]])
  // CHECK:         [[X:%.+]] = load ptr, ptr [[DESCRIPTORS]]
  // CHECK:         call {{.*}}void @_mlir_ciface_f.v3(ptr [[CALL]], ptr [[X]])
  // CHECK:       define internal {{.*}}i64 @f.v3.workspace.entry
  // CHECK:         ret i64 64
  // CHECK:       attributes [[ATTRS]] = { {{.*}}"target-cpu"="x86-64-v3" "target-features"="+avx2"
  llvm.func @_mlir_ciface_f.v3(%call: !llvm.ptr, %x: !llvm.ptr)
      attributes {no_inline, target_cpu = "x86-64-v3", target_features = #llvm.target_features<["+avx2"]>} {
    llvm.store volatile %call, %x : !llvm.ptr, !llvm.ptr
    llvm.return
  }
  llvm.func @_mlir_ciface_f.v3.workspace(%call: !llvm.ptr, %x: !llvm.ptr) -> i64 {
    %bytes = llvm.mlir.constant(64 : i64) : i64
    llvm.return %bytes : i64
  }

  llvm.func @_mlir_ciface_f.v4(%call: !llvm.ptr, %x: !llvm.ptr) {
    llvm.return
  }
  llvm.func @_mlir_ciface_f.v4.workspace(%call: !llvm.ptr, %x: !llvm.ptr) -> i64 {
    %bytes = llvm.mlir.constant(0 : i64) : i64
    llvm.return %bytes : i64
  }

  llvm.func @_mlir_ciface_g.v3(%call: !llvm.ptr) {
    llvm.return
  }
  llvm.func @_mlir_ciface_g.v3.workspace(%call: !llvm.ptr) -> i64 {
    %bytes = llvm.mlir.constant(0 : i64) : i64
    llvm.return %bytes : i64
  }

  llvm.func @_mlir_ciface_g.v4(%call: !llvm.ptr) {
    llvm.return
  }
  llvm.func @_mlir_ciface_g.v4.workspace(%call: !llvm.ptr) -> i64 {
    %bytes = llvm.mlir.constant(0 : i64) : i64
    llvm.return %bytes : i64
  }
}

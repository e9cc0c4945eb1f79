// RUN: moe-opt %s --moe-cpu-lower-expert-ffn --canonicalize | FileCheck %s

// CHECK-LABEL: func @ffn(
// CHECK-SAME:    %[[X:[^ ]*]]: memref<?x8xf32>, %[[IDX:[^ ]*]]: memref<?x2xi32>, %[[W:[^ ]*]]: memref<?x2xf32>, %[[GATE_UP:[^ ]*]]: memref<4x1x8x32xf32>, %[[DOWN:[^ ]*]]: memref<4x1x16x32xf32>, %[[Y:[^ ]*]]: memref<?x8xf32>
func.func @ffn(%x: memref<?x8xf32>, %idx: memref<?x2xi32>, %w: memref<?x2xf32>, %gate_up: memref<4x1x8x32xf32>,
               %down: memref<4x1x16x32xf32>, %y: memref<?x8xf32>) attributes {moe.isa = "v4"} {
  // Slots are sorted; N = 2T.
  // CHECK:      %[[T:.*]] = memref.dim %[[IDX]], %c0
  // CHECK:      %[[N:.*]] = arith.muli %[[T]], %c2
  // CHECK:      %[[SORTED:.*]] = memref.alloc(%[[N]]) : memref<?xi32>
  // CHECK:      memref.alloc() : memref<6xi32>
  // Each slot has a row.
  // CHECK:      %[[ROWS:.*]] = memref.alloc(%[[N]]) : memref<?x8xf32>
  // CHECK:      %[[HIDDEN:.*]] = memref.alloc(%{{.*}}) : memref<?x16xf32>
  // What is read ahead may be of either product.
  // CHECK:      %[[UP_FLAT:.*]] = memref.cast %{{.*}} : memref<1024xf32> to memref<?xf32>
  // CHECK:      %[[DOWN_FLAT:.*]] = memref.cast %{{.*}} : memref<2048xf32> to memref<?xf32>
  // CHECK:      memref.store %c-1_i32
  // How many parts of the first products of a chunk, and of all second ones, are not done.
  // CHECK:      %[[UP_LEFT:.*]] = memref.alloc(%{{.*}}) : memref<?xi32>
  // CHECK:      %[[DOWN_LEFT:.*]] = memref.alloc() : memref<1xi32>
  // CHECK:      memref.store %{{.*}}, %[[UP_LEFT]]
  // CHECK:      memref.store %{{.*}}, %[[DOWN_LEFT]]
  // CHECK:      scf.parallel
  // CHECK:        scf.if
  // CHECK:        %[[AHEAD:.*]] = arith.select %{{.*}}, %[[DOWN_FLAT]], %[[UP_FLAT]]
  // CHECK:        %[[SLOT:.*]] = memref.load %[[SORTED]][
  // CHECK:        %[[I:.*]] = arith.index_cast %[[SLOT]]
  // CHECK:        %[[SOURCE:.*]] = arith.divui %[[I]], %c2
  // CHECK:        vector.transfer_read %[[X]][%[[SOURCE]],
  // CHECK:        moe.panel_matmul
  // CHECK:        %[[GATE:.*]] = vector.load
  // CHECK:        %[[UP:.*]] = vector.load
  // CHECK:        math.exp
  // CHECK:        vector.transfer_write %{{.*}}, %[[HIDDEN]]
  // CHECK:        memref.atomic_rmw addi %c-1_i32, %[[UP_LEFT]]
  // The second product waits until no part of the first one is left.
  // CHECK:        scf.while
  // CHECK:          %[[LEFT:.*]] = memref.atomic_rmw addi %c0_i32, %[[UP_LEFT]]
  // CHECK:          arith.cmpi ne, %[[LEFT]], %c0_i32
  // CHECK:        vector.transfer_read %[[HIDDEN]]
  // CHECK:        %[[AFTER:.*]] = arith.select %{{.*}}, %{{.*}}, %[[AHEAD]] : memref
  // CHECK:        moe.panel_matmul {{.*}} ahead(%[[AFTER]][
  // Rows of 8 columns are not aligned.
  // CHECK-NOT:    nontemporal
  // CHECK:        vector.transfer_write %{{.*}}, %[[ROWS]]
  // CHECK:        llvm.fence seq_cst
  // CHECK:        memref.atomic_rmw addi %c-1_i32, %[[DOWN_LEFT]]
  // When all are done, slots are added in order.
  // CHECK:        } else {
  // CHECK:          scf.while
  // CHECK:            memref.atomic_rmw addi %c0_i32, %[[DOWN_LEFT]]
  // CHECK:          %[[SUM:.*]] = scf.for %[[J:.*]] = %c0{{.*}} to %c2
  // CHECK:            memref.load %[[IDX]][%{{.*}}, %[[J]]]
  // CHECK:            %[[V:.*]] = vector.transfer_read %[[ROWS]]
  // CHECK:            vector.fma %{{.*}}, %[[V]]
  // CHECK:          vector.transfer_write %[[SUM]], %[[Y]]
  moe.expert_ffn swiglu packed f32 inner 16 ins(%x, %idx, %w : memref<?x8xf32>, memref<?x2xi32>, memref<?x2xf32>)
    weights(%gate_up, %down : memref<4x1x8x32xf32>, memref<4x1x16x32xf32>) outs(%y : memref<?x8xf32>)
  return
}

// Limits, alpha and offset of gpt-oss, and biases of each expert, which are read once for all rows.
// CHECK-LABEL: func @clauses(
// CHECK-SAME:    %[[B:[^ ]*]]: memref<4x32xf32>, %[[C:[^ ]*]]: memref<4x32xf32>, %[[D:[^ ]*]]: memref<4x64xbf16>
func.func @clauses(%b: memref<4x32xf32>, %c: memref<4x32xf32>, %d: memref<4x64xbf16>, %x: memref<?x64xf32>,
                   %idx: memref<?x2xi32>, %w: memref<?x2xf32>, %gate_up: memref<4x2x64x32xf32>,
                   %down: memref<4x2x32x32xf32>, %y: memref<?x64xf32>) attributes {moe.isa = "v4"} {
  // CHECK: moe.panel_matmul
  // CHECK: %[[GATE_BIAS:.*]] = vector.load %[[B]][
  // CHECK: %[[UP_BIAS:.*]] = vector.load %[[C]][
  // CHECK: scf.for
  // CHECK:   %[[GATE:.*]] = arith.addf %{{.*}}, %[[GATE_BIAS]]
  // CHECK:   %[[UP:.*]] = arith.addf %{{.*}}, %[[UP_BIAS]]
  // CHECK:   arith.minimumf %[[GATE]]
  // CHECK:   math.exp
  // CHECK:   arith.minimumf %[[UP]]
  // CHECK: moe.panel_matmul
  // CHECK: %[[DOWN_BIAS:.*]] = vector.load %[[D]][
  // CHECK: %[[WIDE:.*]] = arith.extf %[[DOWN_BIAS]]
  // CHECK: scf.for
  // CHECK:   arith.addf %{{.*}}, %[[WIDE]]
  moe.expert_ffn swiglu alpha 1.702 offset 1.0 limit 7.0 packed f32 inner 32
    ins(%x, %idx, %w : memref<?x64xf32>, memref<?x2xi32>, memref<?x2xf32>)
    weights(%gate_up, %down : memref<4x2x64x32xf32>, memref<4x2x32x32xf32>)
    biases(%b, %c, %d : memref<4x32xf32>, memref<4x32xf32>, memref<4x64xbf16>) outs(%y : memref<?x64xf32>)
  return
}

// All columns of a panel are one product's.
// CHECK-LABEL: func @ungated(
func.func @ungated(%x: memref<?x8xf32>, %idx: memref<?x2xi32>, %w: memref<?x2xf32>, %up: memref<4x2x8x32xf32>,
                   %down: memref<4x1x40x32xf32>, %y: memref<?x8xf32>) attributes {moe.isa = "v4"} {
  // CHECK: %[[HIDDEN:.*]] = memref.alloc(%{{.*}}) : memref<?x40xf32>
  // CHECK: arith.maximumf
  // CHECK: arith.maximumf
  // CHECK: vector.transfer_write %{{.*}}, %[[HIDDEN]]
  // CHECK: vector.transfer_write %{{.*}}, %[[HIDDEN]]
  moe.expert_ffn relu packed f32 inner 40 ins(%x, %idx, %w : memref<?x8xf32>, memref<?x2xi32>, memref<?x2xf32>)
    weights(%up, %down : memref<4x2x8x32xf32>, memref<4x1x40x32xf32>) outs(%y : memref<?x8xf32>)
  return
}

// Slot rows of many chunks, each of whole panels, are stored past the caches; a token is added four registers at a time.
// CHECK-LABEL: func @wide(
// CHECK-SAME:    %[[Y:[^ ]*]]: memref<?x128xf32>)
func.func @wide(%x: memref<?x128xf32>, %idx: memref<?x2xi32>, %w: memref<?x2xf32>, %gate_up: memref<4x1x128x32xf32>,
                %down: memref<4x4x16x32xf32>, %y: memref<?x128xf32>) attributes {moe.isa = "v4"} {
  // CHECK: %[[MANY:.*]] = arith.andi
  // CHECK: scf.if %[[MANY]] {
  // CHECK:   vector.store %{{.*}}, %[[ROWS:.*]][%{{.*}}, %{{.*}}] {alignment = 64 : i64, nontemporal = true}
  // CHECK: } else {
  // CHECK:   vector.transfer_write %{{.*}}, %[[ROWS]]
  // CHECK: scf.for %{{.*}} -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>)
  // CHECK-COUNT-4: vector.transfer_write %{{.*}}, %[[Y]]
  moe.expert_ffn swiglu packed f32 inner 16 ins(%x, %idx, %w : memref<?x128xf32>, memref<?x2xi32>, memref<?x2xf32>)
    weights(%gate_up, %down : memref<4x1x128x32xf32>, memref<4x4x16x32xf32>) outs(%y : memref<?x128xf32>)
  return
}

// Tiles of bf16 have no scales: hidden rows are packed as they are made, in bytes, with room for the last register of each
// of the 4 experts. Of 64 bytes for 32 columns, a panel of gate and up makes half.
// CHECK-LABEL: func @packed_hidden(
// CHECK-SAME:    %{{.*}}: memref<?x32xf32>, %[[IDX:[^ ]*]]: memref<?x2xi32>
func.func @packed_hidden(%x: memref<?x32xf32>, %idx: memref<?x2xi32>, %w: memref<?x2xf32>,
                         %gate_up: memref<4x2x1x2x16x16x2xbf16>, %down: memref<4x1x1x2x16x16x2xbf16>,
                         %y: memref<?x32xf32>) attributes {moe.isa = "amx"} {
  // CHECK:     %[[N:.*]] = arith.muli %{{.*}}, %c2
  // CHECK:     arith.addi %[[N]], %c64
  // CHECK:     %[[HIDDEN:.*]] = memref.alloc(%{{.*}}) : memref<?xi8>
  // CHECK:     math.exp
  // CHECK:     %[[VIEW:.*]] = memref.view %[[HIDDEN]]
  // CHECK:     %[[ROUNDED:.*]] = arith.truncf %{{.*}} : vector<16xf32> to vector<16xbf16>
  // CHECK:     vector.store %[[ROUNDED]], %[[VIEW]]
  // CHECK-NOT: vector.transfer_read
  // CHECK:     moe.panel_matmul bf16 compute bf16 rows(%[[HIDDEN]][
  moe.expert_ffn swiglu packed bf16 inner 32 compute bf16
    ins(%x, %idx, %w : memref<?x32xf32>, memref<?x2xi32>, memref<?x2xf32>)
    weights(%gate_up, %down : memref<4x2x1x2x16x16x2xbf16>, memref<4x1x1x2x16x16x2xbf16>)
    outs(%y : memref<?x32xf32>)
  return
}

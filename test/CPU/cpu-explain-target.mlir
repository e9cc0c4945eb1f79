// RUN: moe-opt %s --moe-cpu-explain='levels=v4,amx threads=2 tokens=1,64' -o /dev/null | FileCheck %s

// A machine with a slow memory, where one kernel has been measured.
module attributes {dlti.target_system_spec = #dlti.target_system_spec<"CPU" = #dlti.target_device_spec<
    "core_bandwidth" = 4000000000 : i64,
    "kernels" = #dlti.map<"v4 bf16*f32" = #dlti.map<"operations" = 10000000000 : i64>>>>} {
  moe.parameter @q : tensor<320x320xbf16> from "q"
  moe.parameter @q.packed : tensor<10x10x2x16x16x2xbf16> pack of [@q]
  // Two cores read 7.2 GB/s, and do 20 G operations/s.
  // CHECK-LABEL: v4, threads 2
  // CHECK:             1      0.207      0.20      memory      28.8  fma
  // CHECK-NEXT:       64      0.369     13.11  arithmetic     697.8  fma
  // The kernel of another level was not measured.
  // CHECK-LABEL: amx, threads 2
  // CHECK:            64      0.369     13.11      memory      85.5  fma
  func.func private @layer(%x: tensor<?x320xf32>) -> tensor<?x320xf32> {
    %w = moe.load_parameter @q.packed : tensor<10x10x2x16x16x2xbf16>
    %y = moe.grouped_matmul packed bf16 ins(%x, %w : tensor<?x320xf32>, tensor<10x10x2x16x16x2xbf16>)
        outs(%x : tensor<?x320xf32>) -> tensor<?x320xf32>
    return %y : tensor<?x320xf32>
  }
}

// RUN: moe-opt %s --split-input-file --verify-diagnostics --moe-cpu-lower-panels

// expected-error @below {{expected block_k to be a positive multiple of 64, got 100}}
module attributes {dlti.target_system_spec = #dlti.target_system_spec<
    "CPU" = #dlti.target_device_spec<"kernels" = #dlti.map<"amx bf16*bf16" = #dlti.map<"block_k" = 100 : i64>>>>} {}

// -----

// expected-error @below {{expected clock to be a positive integer, got 3.300000e+09 : f64}}
module attributes {dlti.target_system_spec = #dlti.target_system_spec<"CPU" = #dlti.target_device_spec<"clock" = 3.3e9>>} {}

// -----

// expected-error @below {{expected one of L1_cache_size_in_bytes, L2_cache_size_in_bytes, clock, core_bandwidth, bandwidth, got cores}}
module attributes {dlti.target_system_spec = #dlti.target_system_spec<"CPU" = #dlti.target_device_spec<"cores" = 2>>} {}

// -----

// expected-error @below {{expected a map of choices for kernel v4 f32*f32, got 512 : i64}}
module attributes {dlti.target_system_spec = #dlti.target_system_spec<
    "CPU" = #dlti.target_device_spec<"kernels" = #dlti.map<"v4 f32*f32" = 512>>>} {}

// -----

// expected-error @below {{expected a map of kernels, got 512 : i64}}
module attributes {dlti.target_system_spec = #dlti.target_system_spec<"CPU" = #dlti.target_device_spec<"kernels" = 512>>} {}

// -----

// expected-error @below {{expected a device CPU, got}}
module attributes {dlti.target_system_spec = #dlti.target_system_spec<
    "GPU" = #dlti.target_device_spec<"max_vector_op_width" = 64>>} {}

// -----

// expected-error @below {{expected a kernel as amx bf16*bf16, got bf16}}
module attributes {dlti.target_system_spec = #dlti.target_system_spec<
    "CPU" = #dlti.target_device_spec<"kernels" = #dlti.map<"bf16" = #dlti.map<"block_k" = 64 : i64>>>>} {}

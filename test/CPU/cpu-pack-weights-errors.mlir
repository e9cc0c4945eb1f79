// RUN: moe-opt %s --moe-cpu-pack-weights=format=q5_k -verify-diagnostics

// expected-error @below {{expected a format of weights, got 'q5_k'}}
module {
}

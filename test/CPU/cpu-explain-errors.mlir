// RUN: not moe-opt %s --moe-cpu-explain=levels=v7 2>&1 | FileCheck %s

// CHECK: error: expected an ISA level v3, v4, vnni, amx, amx_emulated or neon, got v7
module {}

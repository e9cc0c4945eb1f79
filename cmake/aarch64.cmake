# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# A toolchain for AArch64 Linux: clang and lld with the libraries of Debian's
# packages libc6-dev-arm64-cross and libstdc++-12-dev-arm64-cross.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
foreach(language C CXX)
  set(CMAKE_${language}_COMPILER_TARGET aarch64-linux-gnu)
endforeach()
set(CMAKE_EXE_LINKER_FLAGS_INIT -fuse-ld=lld)
set(CMAKE_SHARED_LINKER_FLAGS_INIT -fuse-ld=lld)

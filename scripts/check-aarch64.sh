#!/usr/bin/env bash
# Cross-compiles quant and kernels (with what they need of base) for AArch64 and runs their tests under emulation, which
# covers the NEON set. The other libraries are left out: their dependencies have no cross packages.
#   scripts/check-aarch64.sh [gtest arguments]
# Needs scripts/install-deps.sh --dev (g++-aarch64-linux-gnu, qemu-user) and the sources of googletest.
set -euo pipefail
cd "$(dirname "$0")/.."

gtest=/usr/src/googletest
out=build/check-aarch64
mkdir -p "$out/include"
ln -sfn /usr/include/nlohmann "$out/include/nlohmann" # headers only, the same for every processor

shopt -s extglob
sources=(
  src/base/{aligned_buffer,cpu_features,cpu_features_arm64,error,errno_error,futex,thread_pool}.cpp
  src/quant/*.cpp
  src/kernels/{scalar,neon}/*.cpp
  src/kernels/!(kernel_sets_x86|kernel_sets_none).cpp
)
flags=(
  -std=c++20 -O2 -ffp-contract=off -DMACH_SOURCE_DIR="\"$PWD\""
  -Isrc -Iinclude -Itests -isystem "$out/include" -isystem "$gtest/googletest/include" -isystem "$gtest/googlemock/include"
)
warnings=(-Wall -Wextra -Wpedantic -Wshadow -Wno-missing-field-initializers -Wno-restrict -Werror)
compiler=(aarch64-linux-gnu-g++)
command -v ccache >/dev/null && compiler=(ccache "${compiler[@]}")

compile() { # source, object, more flags
  "${compiler[@]}" "${flags[@]}" "${@:3}" -c "$1" -o "$2"
}

objects=()
jobs=0
for source in "${sources[@]}"; do
  object="$out/${source//\//_}.o"
  objects+=("$object")
  compile "$source" "$object" "${warnings[@]}" &
  if ((++jobs >= $(nproc))); then
    wait -n
    ((jobs--))
  fi
done
for part in googletest/src/gtest-all googlemock/src/gmock-all googlemock/src/gmock_main; do
  object="$out/$(basename "$part").o"
  objects+=("$object")
  compile "$gtest/$part.cc" "$object" -I"$gtest/googletest" -I"$gtest/googlemock"
done
while ((jobs-- > 0)); do wait -n; done

aarch64-linux-gnu-g++ -static "${objects[@]}" -o "$out/kernels_tests" -pthread
# The scalar set is what the host's tests have run already; emulated it would take most of an hour.
[ $# -gt 0 ] || set -- '--gtest_filter=-*/scalar'
qemu-aarch64 "$out/kernels_tests" "$@"

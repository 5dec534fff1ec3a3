#!/usr/bin/env bash
# Installs what mach needs to build and test on Debian 12. Debian packages only; nothing is downloaded at build time.
#   scripts/install-deps.sh          what the build and the tests need
#   scripts/install-deps.sh --dev    also clang, formatter, tidy, fuzzing runtime, the AArch64 cross compiler and Node.js
set -euo pipefail

build=(
  g++ cmake ninja-build ccache pkg-config git ca-certificates python3
  nlohmann-json3-dev libsimdjson-dev libcli11-dev libspdlog-dev libfmt-dev libboost1.81-dev
  libcurl4-openssl-dev libpcre2-dev libutf8proc-dev liburing-dev libxxhash-dev libssl-dev libzstd-dev zlib1g-dev
  prometheus-cpp-dev libgtest-dev libgmock-dev libbenchmark-dev python3-jsonschema
)
dev=(clang clang-format clang-tidy libclang-rt-14-dev g++-aarch64-linux-gnu qemu-user python3-numpy)

# For tests/clients; a Node.js from elsewhere will do.
command -v npm >/dev/null || dev+=(nodejs npm)

packages=("${build[@]}")
case "${1:-}" in
  "") ;;
  --dev) packages+=("${dev[@]}") ;;
  *) echo "usage: $0 [--dev]" >&2; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "$0: run as root, or install sudo; missing: ${missing[*]}" >&2; exit 1; }
  sudo=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"

#!/usr/bin/env bash
# Installs, builds and runs all tests but those labelled "long": scripts/test.sh [preset]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
scripts/build.sh "$preset"
scripts/check-includes.py
ctest --preset "$preset" -j "$(nproc)"

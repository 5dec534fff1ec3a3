#!/usr/bin/env bash
# clang-tidy at zero on the sources that changed: scripts/check-tidy.sh [BASE | --all]
# Without BASE: what the last five commits changed.
set -euo pipefail
cd "$(dirname "$0")/.."
base=${1:-$(git rev-parse -q --verify HEAD~5 || echo --all)}
if [ "$base" = "--all" ]; then
  files=$(git ls-files '*.cpp')
else
  files=$(git diff --name-only --diff-filter=d "$base" -- '*.cpp')
fi
# Tests are left out (gtest's macros cost minutes a file), and files of another instruction set, which are not in this
# host's compilation database.
files=$(printf '%s\n' "$files" | grep -vE '_test\.cpp$|^tests/|^src/kernels/neon/|_arm64\.cpp$' || true)
[ -z "$files" ] && { echo "tidy: nothing changed"; exit 0; }
cmake --preset tidy >/dev/null
printf '%s\n' "$files" | xargs -P "$(nproc)" -n 4 clang-tidy -p build/tidy --quiet 2>/dev/null
echo "tidy: ok"

#!/usr/bin/env bash
# Every C++ file is as clang-format leaves it. With --fix, makes it so.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=(--dry-run -Werror)
[ "${1:-}" = "--fix" ] && mode=(-i)
git ls-files '*.cpp' '*.h' | xargs -r clang-format "${mode[@]}"
echo "format: ok"

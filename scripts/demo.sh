#!/usr/bin/env bash
# Installs, builds, and lets the shipped demo model answer: scripts/demo.sh [prompt]
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/build.sh release >&2
build/release/mach-generate --chat --prompt "${1:-What is the capital of France?}"

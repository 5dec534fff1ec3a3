#!/usr/bin/env bash
# Runs real clients (OpenAI's and Anthropic's, the Vercel AI SDK) against a live mach-serve: scripts/test-clients.sh [preset]
# Needs nodejs and npm (scripts/install-deps.sh --dev) and, once, the package registry.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
export MACH_SERVE=$PWD/build/$preset/mach-serve
[ -x "$MACH_SERVE" ] || scripts/build.sh "$preset"
cd tests/clients
npm ci --no-audit --no-fund --silent
npm test --silent

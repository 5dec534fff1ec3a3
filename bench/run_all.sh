#!/bin/bash
# Reproduces the figures of docs/PERFORMANCE.md: makes synthetic models, measures them, removes them again. Prints Markdown
# rows and keeps the JSON of every run.
#   bench/run_all.sh [-o OUTPUT_FOLDER] [-w WORK_FOLDER] [-q] [NAME ...]
# -q: a few layers and short runs, for small machines and for trying the script. NAME picks rows of the table below; a row's
# label ends with the number of layers.
# The work folder needs room for one model at a time (the largest takes 17.3 GB, with -q 1.5 GB).
set -euo pipefail
cd "$(dirname "$0")/.."
build=${BUILD_DIR:-build/release}
output=bench-results
work=${TMPDIR:-/tmp}/mach-bench
quick=
while getopts o:w:q option; do
  case $option in
    o) output=$OPTARG ;;
    w) work=$OPTARG ;;
    q) quick=1 ;;
    *) sed -n '2,7p' "$0"; exit 2 ;;
  esac
done
shift $((OPTIND - 1))

# name | mach synth arguments | layers | layers with -q | mach bench arguments
table='
qwen3             | --like qwen3-30b-a3b                     | 12 | 2 | -p 512,2048 -n 64
qwen3-1thread     | --like qwen3-30b-a3b                     | 12 | 2 | -p 512 -n 64 -t 1
qwen3-batch       | --like qwen3-30b-a3b                     | 12 | 2 | -p 0 -n 32 --batch 1,2,4,8
qwen3-zipf        | --like qwen3-30b-a3b --routing zipf:1    | 12 | 2 | -p 0 -n 64 --batch 1,8
qwen3-affine8     | --like qwen3-30b-a3b --quant affine8     | 12 | 2 | -p 512 -n 64
qwen3-bf16        | --like qwen3-30b-a3b --quant bf16        | 8  | 2 | -p 512 -n 64
qwen3-exact       | --like qwen3-30b-a3b                     | 12 | 2 | -p 128 -n 16 --exact
qwen3-avx2        | --like qwen3-30b-a3b                     | 12 | 2 | -p 512 -n 64 --kernel-set avx2
gpt-oss           | --like gpt-oss-20b                       | 8  | 2 | -p 512,2048 -n 64
qwen3.6           | --like qwen3.6-35b-a3b                   | 12 | 4 | -p 512 -n 64 --depth 0,16384
gemma4            | --like gemma-4-26b-a4b                   | 12 | 6 | -p 512 -n 64 --depth 0,16384
deepseek          | --like deepseek-v4-flash                 | 4  | 4 | -p 512 -n 64 --depth 0,4096
qwen3-whole       | --like qwen3-30b-a3b                     | 48 | 3 | -p 512 -n 64
'

for name in "$@"; do
  grep -q "^$name " <<< "$table" || { echo "run_all.sh: no row '$name' in the table" >&2; exit 2; }
done
mkdir -p "$output" "$work"
"$build/bench/roofline/roofline" | tee "$output/roofline.txt"
"$build/bench/token_costs" > "$output/token_costs.md"

# measure NAME MODEL ARGUMENTS...
measure() {
  local name=$1 model=$2
  shift 2
  "$build/mach" bench "$model" "$@" --json > "$output/$name.json"
  python3 bench/report_rows.py "$name" "$output/$name.json"
}

# A process at equal priority that keeps the first core busy, ended with the function that it disturbs.
neighbour=
with_busy_neighbour() {
  taskset -c 0 bash -c 'while :; do :; done' &
  neighbour=$!
  "$@"
  kill "$neighbour"
  wait "$neighbour" 2>/dev/null || true
  neighbour=
}

# Also after an error or Ctrl-C.
model=
clean_up() {
  [ -z "$neighbour" ] || kill "$neighbour" 2>/dev/null || true
  [ -z "$model" ] || rm -rf "$model"
}
trap clean_up EXIT

wanted() { [ $# -eq 1 ] || { local name=$1; shift; [[ " $* " == *" $name "* ]]; }; }

python3 bench/report_rows.py --header
while IFS='|' read -r name synth layers few args; do
  name=$(echo $name)
  [ -n "$name" ] && wanted "$name" "$@" || continue
  [ -z "$quick" ] || { layers=$few; args="${args//16384/1024} -r 1"; args=${args//512,2048/128}; args=${args//-n 64/-n 16}; }
  layers=$(echo $layers)
  model="$work/$name"
  rm -rf "$model"
  "$build/mach" synth $synth --layers $layers --out "$model" >&2
  measure "$name-$layers" "$model" $args
  [ "$name" != qwen3 ] || with_busy_neighbour measure "$name-busy-$layers" "$model" $args
  rm -rf "$model"
  model=
done <<< "$table"

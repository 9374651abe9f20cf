#!/usr/bin/env bash
# Compiles every BPF object as the agent does at its start, to build/bpf: a check, and something to look at with
# llvm-objdump. Warnings are errors. Usage: compile-bpf.sh [OUTPUT-DIRECTORY]
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
out=${1:-build/bpf}
mkdir -p "$out"

clang=${CLANG:-}
if [ -z "$clang" ]; then
  for version in 19 20 21 22 18 17 16 15 14; do
    if command -v "clang-$version" >/dev/null; then clang=clang-$version && break; fi
  done
fi
: "${clang:=clang}"
common=(-O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror)

for source in bpf/bpf_*.c; do
  "$clang" "${common[@]}" -I bpf/include -I bpf/lib -I bpf -c "$source" -o "$out/$(basename "${source%.c}").o"
done
shopt -s nullglob
for source in bpf/plugins/*/hooks/*.c examples/plugins/*/hooks/*.c; do
  plugin=$(basename "$(dirname "$(dirname "$source")")")
  "$clang" "${common[@]}" -I bpf/include -c "$source" -o "$out/plugin-$plugin-$(basename "${source%.c}").o"
done
echo "$(find "$out" -name '*.o' | wc -l) objects in $out ($clang)"

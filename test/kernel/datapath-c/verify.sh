#!/bin/sh
# Loads the datapath and the shipped plugins with features off, on, and one unlike the others, on this kernel.
# Needs root, clang and libbpf-dev. Attaches nothing, leaves nothing behind.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$here/compile.sh" "$work"
${CC:-cc} -O1 -Wall -Wextra -o "$work/verify" "$here/verify.c" -lbpf
cd "$work"
./verify ./*.o

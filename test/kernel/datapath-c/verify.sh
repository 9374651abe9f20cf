#!/bin/sh
# Compiles the datapath and the shipped plugins and loads them with every combination of features.
# Needs root, clang and libbpf-dev. Attaches nothing, leaves nothing behind.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bpf=$here/../../../bpf
CLANG=${CLANG:-clang-19}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -I $bpf/include"

for name in bpf_lxc bpf_host; do
	# shellcheck disable=SC2086
	$CLANG $flags -I "$bpf/lib" -I "$bpf" -c "$bpf/$name.c" -o "$work/$name.o"
done
for source in "$bpf"/plugins/*/hooks/*.c; do
	plugin=$(basename "$(dirname "$(dirname "$source")")")
	# shellcheck disable=SC2086
	$CLANG $flags -c "$source" -o "$work/$plugin-$(basename "$source" .c).o"
done
${CC:-cc} -O1 -Wall -Wextra -o "$work/verify" "$here/verify.c" -lbpf
cd "$work"
./verify ./*.o

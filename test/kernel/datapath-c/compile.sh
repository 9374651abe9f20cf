#!/bin/sh
# Compiles the datapath and the shipped plugins into the directory $1.
set -eu
bpf=$(cd "$(dirname "$0")/../../../bpf" && pwd)
CLANG=${CLANG:-clang-19}
flags="-O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -I $bpf/include"

for name in bpf_lxc bpf_host bpf_overlay bpf_sock; do
	# shellcheck disable=SC2086
	$CLANG $flags -I "$bpf/lib" -I "$bpf" -c "$bpf/$name.c" -o "$1/$name.o"
done
for source in "$bpf"/plugins/*/hooks/*.c; do
	plugin=$(basename "$(dirname "$(dirname "$source")")")
	# shellcheck disable=SC2086
	$CLANG $flags -c "$source" -o "$1/$plugin-$(basename "$source" .c).o"
done

#!/bin/sh
# The same on another kernel, in a virtual machine: verify-vm.sh /path/to/vmlinuz
# Needs clang, libbpf-dev, libelf-dev and zlib1g-dev (static), cpio and qemu-system-x86. No network, no disk.
set -eu
kernel=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/root"
"$here/compile.sh" "$work/root"
${CC:-cc} -O1 -Wall -Wextra -static -o "$work/root/verify" "$here/verify.c" -lbpf -lelf -lz
${CC:-cc} -O1 -Wall -Wextra -static -o "$work/root/init" "$here/init.c"
cd "$work/root"
objects=$(ls ./*.o | sed 's|^\.||' | tr '\n' ' ')
# The kernel passes what follows "--" to init.
find . | cpio --quiet -o -H newc >"$work/initrd"
timeout "${TIMEOUT:-180}" qemu-system-x86_64 -accel tcg -m 512 -nographic -no-reboot -nic none \
	-kernel "$kernel" -initrd "$work/initrd" \
	-append "console=ttyS0 quiet panic=-1 -- $objects" | tr -d '\r' | tee "$work/log"
grep -q '^verify: exit 0' "$work/log"

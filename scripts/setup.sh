#!/usr/bin/env bash
# Brings a checkout to the point where everything in it runs: system packages, npm packages, generated code, and a
# first compilation of the BPF objects. Does only what is missing, so it is cheap to run again and again.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

say() { printf '  %s\n' "$*"; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Runs quietly; what was written is shown only when it fails.
quietly() { "$@" >"$log" 2>&1 || { tail -n 40 "$log" >&2; return 1; }; }

have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }
have_clang() { have clang || compgen -c | grep -qE '^clang-(1[4-9]|[2-9][0-9])$'; }
have_llvm() { have llvm-strip || compgen -c | grep -qE '^llvm-strip-[0-9]+$'; }
have_libbpf() { compgen -G '/usr/lib/*/libbpf.so.1' >/dev/null || compgen -G '/usr/lib*/libbpf.so.1' >/dev/null; }
have_node() { have node && have npm; }

# --- system packages ------------------------------------------------------------------------------------------

missing=()
# need PACKAGE CHECK…: notes the package when the check fails.
need() { "${@:2}" || missing+=("$1"); }
need make have make
need curl have curl
need iproute2 have ip
need iputils-ping have ping
need util-linux have nsenter
need bpftool have bpftool
need iperf3 have iperf3
need nftables have nft
need sockperf have sockperf
need wrk have wrk
need nginx-light have nginx
need etcd-server have etcd
need etcd-client have etcdctl
need tcpdump have tcpdump
need hping3 have hping3
need netcat-openbsd have nc
need 'nodejs npm' have_node
need clang have_clang
need llvm have_llvm
need libbpf1 have_libbpf
need libbpf-dev test -f /usr/include/bpf/bpf_helpers.h
need linux-libc-dev test -f /usr/include/linux/bpf.h
need libc6-dev test -f /usr/include/stdio.h

# The newest clang the release has, from the one we develop with downwards; 14 is the oldest with all we use.
choose_clang() {
  local version
  for version in 19 18 17 16 15 14; do
    if [ -n "$(apt-cache search --names-only "^clang-$version\$")" ]; then
      echo "clang-$version llvm-$version"
      return
    fi
  done
  echo 'clang llvm'
}

if [ ${#missing[@]} -eq 0 ]; then
  say 'system packages: complete'
elif [ "$(id -u)" != 0 ] || ! have apt-get; then
  say "system packages: missing ${missing[*]}"
  if have apt-get; then
    say '  install them as root, or run this as root; going on without'
  else
    say '  this script installs with apt only: install them with your package manager; going on without'
  fi
else
  say 'system packages: apt-get update'
  quietly apt-get update -q || say '  apt-get update failed: trying with the lists that are there'
  packages=()
  for package in "${missing[@]}"; do
    case $package in
      clang | llvm) for p in $(choose_clang); do case $p in "$package"*) packages+=("$p") ;; esac; done ;;
      # Ubuntu ships bpftool with the tools of its kernels.
      bpftool) if [ -n "$(apt-cache search --names-only '^bpftool$')" ]; then packages+=(bpftool); else packages+=(linux-tools-common linux-tools-generic); fi ;;
      # libbpf-dev depends on the library, whatever its package is called in this release.
      libbpf1) packages+=(libbpf-dev) ;;
      'nodejs npm') packages+=(nodejs npm) ;;
      *) packages+=("$package") ;;
    esac
  done
  say "system packages: installing ${packages[*]}"
  # No services: nginx and etcd are wanted as programs for tests, not as daemons on this machine.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap 'rm -f "$log" /usr/sbin/policy-rc.d' EXIT
  fi
  DEBIAN_FRONTEND=noninteractive quietly apt-get install -qy --no-install-recommends "${packages[@]}" || {
    echo "setup: apt-get could not install: ${packages[*]}" >&2
    exit 1
  }
fi

# --- npm packages ---------------------------------------------------------------------------------------------

if ! have_node; then
  say 'npm packages: Node.js and npm are missing; nothing further can be done'
  exit 1
fi
if node scripts/dependencies-current.mjs; then
  say 'npm packages: current'
else
  say 'npm packages: npm ci'
  if ! npm ci --no-audit --no-fund --loglevel=error >"$log" 2>&1; then
    # A registry that lacks packages for other platforms makes npm call the lock file stale. What it holds is binding
    # all the same.
    say 'npm packages: npm ci refused the lock file; installing what it names'
    quietly npm install --no-save --no-audit --no-fund --loglevel=error
  fi
fi
export PATH="$PWD/node_modules/.bin:$PATH"

# --- generated code -------------------------------------------------------------------------------------------

stamp=src/gen/.stamp
digest=$(find proto buf.yaml buf.gen.yaml package-lock.json -type f -print0 2>/dev/null | sort -z | xargs -0 sha256sum | sha256sum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$digest" ]; then
  say 'generated code: current'
else
  say 'generated code: buf generate'
  quietly npm run --silent gen
  printf '%s\n' "$digest" >"$stamp"
fi

# --- BPF objects ----------------------------------------------------------------------------------------------

if have_clang; then
  quietly scripts/compile-bpf.sh
  say 'BPF objects: compile'
else
  say 'BPF objects: left out, no clang ≥ 14 (the agent compiles them at start: it will need one)'
fi

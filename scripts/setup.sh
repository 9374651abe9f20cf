#!/usr/bin/env bash
# Brings a checkout to the point where everything in it runs: system packages, npm packages, generated code, and a
# first compilation of the BPF objects. Does only what is missing, so it is cheap to run again and again.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

say() { printf '  %s\n' "$*"; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Runs quietly; what was written is shown only when it fails.
quietly() { "$@" >"$log" 2>&1 || { cat "$log" >&2; return 1; }; }

have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }
have_clang() { have clang || compgen -c | grep -qE '^clang-(1[4-9]|[2-9][0-9])$'; }
have_llvm() { have llvm-strip || compgen -c | grep -qE '^llvm-strip-[0-9]+$'; }
have_libbpf() { compgen -G '/usr/lib/*/libbpf.so.1' >/dev/null || compgen -G '/usr/lib*/libbpf.so.1' >/dev/null; }
have_node() { have node && have npm; }

# --- system packages ------------------------------------------------------------------------------------------

missing=()
need() { "$1" "${@:3}" || missing+=("$2"); }
need have make make
need have curl curl
need have ip iproute2
need have ping iputils-ping
need have nsenter util-linux
need have bpftool bpftool
need have iperf3 iperf3
need have nft nftables
need have nginx nginx-light
need have tcpdump tcpdump
need have nc netcat-openbsd
need have_node 'nodejs npm'
need have_clang clang
need have_llvm llvm
need have_libbpf libbpf1
need test libbpf-dev -f /usr/include/bpf/bpf_helpers.h
need test linux-libc-dev -f /usr/include/linux/bpf.h

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
  # No services: nginx is wanted as a program for tests, not as a daemon on this machine.
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
  quietly npm ci --no-audit --no-fund --loglevel=error
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

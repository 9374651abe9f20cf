#!/usr/bin/env bash
# Runs all checks, each as a step with its name and time, to the end even when one fails; the last line is
# "N passed, N failed, N skipped", counted over all tests. Usage: test.sh [STEP…]   (default: all)
#
# Tests that need the kernel run in a network namespace that ends with them: whatever goes wrong in there, the
# machine's own interfaces are out of reach.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
export PATH="$PWD/node_modules/.bin:$PATH"

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
# Agents of all tests share what they compile, and all processes of Node.js what it makes of their modules: half of what
# a start costs.
export WAGGLE_CACHE_DIR=$logs/cache NODE_COMPILE_CACHE=$logs/modules
started=$(date +%s.%N)
passed=0 failed=0 skipped=0
broken=()
wanted=("$@")

since() { awk -v from="$1" -v to="$(date +%s.%N)" 'BEGIN { printf "%.1f s", to - from }'; }
chosen() {
  [ ${#wanted[@]} -eq 0 ] && return 0
  local name
  for name in "${wanted[@]}"; do [ "$name" = "$1" ] && return 0; done
  return 1
}

# step NAME COMMAND…: quiet when it succeeds.
step() {
  local name=$1 from
  shift
  chosen "$name" || return 0
  from=$(date +%s.%N)
  if "$@" >"$logs/$name" 2>&1; then
    printf 'ok      %-8s %s\n' "$name" "$(since "$from")"
  else
    broken+=("$name")
    printf 'FAILED  %-8s %s\n' "$name" "$(since "$from")"
    sed 's/^/    /' "$logs/$name"
  fi
}

# tests NAME WRAPPER -- PATTERN…: runs ava, adds up its counts.
tests() {
  local name=$1 from code wrapper=()
  shift
  chosen "$name" || return 0
  while [ "$1" != -- ]; do wrapper+=("$1") && shift; done
  shift
  # ava refuses patterns without a match; folders may hold helpers only.
  [ -n "$(find "${1%%\**}" -name '*.test.ts' -print -quit)" ] || return 0
  from=$(date +%s.%N)
  printf '…       %-8s\n' "$name"
  # One file more than there are processors: those of worlds wait for much of their time.
  NO_COLOR=1 "${wrapper[@]}" node node_modules/.bin/ava --concurrency "$(($(nproc) + 1))" "$@" >"$logs/$name" 2>&1
  code=$?
  # After a failure ava's summary leaves out what passed, so its lines are counted.
  local ok bad left
  ok=$(grep -cE '^ +✔ ' "$logs/$name")
  bad=$(grep -cE '^ +✘ \[fail\]' "$logs/$name")
  left=$(sed -nE 's/^ +([0-9]+) tests? skipped$/\1/p' "$logs/$name" | awk '{ n += $1 } END { print n + 0 }')
  [ "$code" -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + left))
  if [ "$code" -eq 0 ]; then
    printf 'ok      %-8s %s: %d passed, %d skipped\n' "$name" "$(since "$from")" "$ok" "$left"
    grep -E '^ +- ' "$logs/$name" | sed 's/^ *- \[skip\]/          skipped:/' || true
  else
    broken+=("$name")
    printf 'FAILED  %-8s %s: %d passed, %d failed\n' "$name" "$(since "$from")" "$ok" "$bad"
    sed 's/^/    /' "$logs/$name"
  fi
}

step format biome format .
step lint biome lint --error-on-warnings .
step types tsc --noEmit

isolated=(unshare --net sh -c 'ip link set lo up && exec "$@"' sh)
may=$(node --conditions=waggle-source --disable-warning=ExperimentalWarning scripts/may.ts)

# Pages that are made from the sources must be those of the sources. What the verifier says takes a kernel.
api() { buf lint && npm run --silent rpcs -- --check; }
objects() {
  scripts/compile-bpf.sh && npm run --silent hooks -- --check || return
  [ "$may" != bpf ] || "${isolated[@]}" npm run --silent programs -- --check
}
step proto api
step bpf objects

# test/support holds what tests share.
folders=$(printf '%s\n' test/*/ | grep -v '^test/support/$')
if [ "$may" = bpf ]; then
  tests unit "${isolated[@]}" -- 'src/**/*.test.ts' 'bench/**/*.test.ts'
  for folder in $folders; do
    tests "$(basename "$folder")" "${isolated[@]}" -- "$folder**/*.test.ts"
  done
  # A short run of every benchmark, which judges nothing: so that they cannot rot.
  step bench "${isolated[@]}" bin/waggle-bench --smoke
else
  # Without BPF: everything but what says by its place or name that it needs the kernel.
  alone=(env NO_KERNEL_TESTS=1)
  tests unit "${alone[@]}" -- 'src/**/*.test.ts' 'bench/**/*.test.ts' '!src/**/*kernel*.test.ts'
  for folder in $folders; do
    name=$(basename "$folder")
    case $name in
      kernel | e2e) printf -- '-       %-8s left out: BPF is not permitted here (%s)\n' "$name" "$may" ;;
      *) tests "$name" "${alone[@]}" -- "$folder**/*.test.ts" "!$folder**/*kernel*.test.ts" ;;
    esac
  done
  printf -- '-       %-8s left out: BPF is not permitted here (%s)\n' bench "$may"
fi

printf '\n%s in %s\n' "$([ ${#broken[@]} -eq 0 ] && echo 'all steps ok' || echo "failed steps: ${broken[*]}")" "$(since "$started")"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ ${#broken[@]} -eq 0 ]

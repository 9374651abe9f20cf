#!/usr/bin/env bash
# Compiles the TypeScript sources to dist/, descriptors for reflection included.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
rm -rf dist
# bin/waggle takes a build only when no source is newer than this moment.
started=$(mktemp)
trap 'rm -f "$started"' EXIT
node_modules/.bin/tsc -p tsconfig.build.json
find src/gen -name '*.binpb' -exec cp {} dist/gen/ \;
touch -r "$started" dist/.stamp
echo "built dist/"

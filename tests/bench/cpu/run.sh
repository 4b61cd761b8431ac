#!/bin/sh
# Measures the CPU device beside llama.cpp (node-llama-cpp, pinned) and prints one table.
# Arguments go to the program: run.sh -rounds 9 -threads 1
set -eu
here=$(cd "$(dirname "$0")" && pwd)
command -v npm >/dev/null || { echo "Node.js with npm is missing: it runs the peer of this benchmark" >&2; exit 1; }
stamp=$here/node_modules/.installed-$(cksum <"$here/package.json" | tr ' ' '-')
if [ ! -e "$stamp" ]; then
	echo "installing llama.cpp as the peer (node-llama-cpp, from npm)" >&2
	(cd "$here" && npm install --silent --no-audit --no-fund --ignore-scripts --omit=optional --no-package-lock)
	touch "$stamp"
fi
cd "$here/../../.."
go build -o bin/bench-cpu ./tests/bench/cpu
exec bin/bench-cpu -peer "$here" "$@"

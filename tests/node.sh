#!/bin/sh
# Installs the Node packages of the tests from their lock files, once.
set -eu
cd "$(dirname "$0")"
command -v npm >/dev/null || { echo "Node.js with npm is missing: it runs the Node client and the browser of the tests" >&2; exit 1; }
for dir in clients/node browser; do
	stamp=$dir/node_modules/.installed-$(cksum <$dir/package-lock.json | tr ' ' '-')
	[ -e "$stamp" ] && continue
	echo "installing the Node packages of tests/$dir" >&2
	(cd "$dir" && npm ci --silent --no-audit --no-fund --ignore-scripts)
	touch "$stamp"
done

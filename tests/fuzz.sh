#!/bin/sh
# Runs every fuzz target of the module for the given time each (default 2s).
set -eu
cd "$(dirname "$0")/.."
time=${1:-2s}
failed=0 n=0
for file in $(grep -rl --include='*_test.go' '^func Fuzz' . | sort); do
	pkg=$(dirname "$file")
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		n=$((n + 1))
		if ! out=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$pkg" 2>&1); then
			printf 'FAIL %s %s\n%s\n' "$pkg" "$target" "$out"
			failed=$((failed + 1))
		fi
	done
done
echo "fuzz: $((n - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]

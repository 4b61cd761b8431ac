#!/bin/sh
# Runs every fuzz target of the module for the given time each (default 2s): fuzz.sh TIME [DIR…].
# The targets of one package run while the next package is compiled.
set -eu
cd "$(dirname "$0")/.."
time=${1:-2s}
[ $# -eq 0 ] || shift
corpus=$(go env GOCACHE)/fuzz/godwit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/failed"
: >"$work/passed"

# fuzz PACKAGE BINARY TARGET: a failing input is written to the package's testdata. Without
# its limit, making one interesting input smaller may take all the time.
fuzz() {
	mkdir -p "$corpus/$1"
	(cd "$1" && "$2" -test.run '^$' -test.fuzz "^$3\$" -test.fuzztime "$time" -test.fuzzminimizetime 200x -test.fuzzcachedir "$corpus/$1") >"$work/out" 2>&1
}

targets() { # PACKAGE BINARY
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$1"/*_test.go); do
		# Where a worker does not stop in time on a busy machine, Go reports the deadline
		# itself as a failure, without an input: that run is repeated.
		tries=1
		until fuzz "$1" "$2" "$target"; do
			if [ "$tries" -eq 4 ] || ! grep -q 'context deadline exceeded' "$work/out" || grep -q 'Failing input' "$work/out"; then
				tries=failed
				break
			fi
			tries=$((tries + 1))
		done
		if [ "$tries" != failed ]; then
			echo "$1 $target" >>"$work/passed"
		else
			printf 'FAIL %s %s\n' "$1" "$target"
			cat "$work/out"
			echo "$1 $target" >>"$work/failed"
		fi
	done
	rm -f "$2"
}

for package in $(grep -rl --include='*_test.go' '^func Fuzz' "${@:-.}" | xargs -n1 dirname | sort -u); do
	binary=$work/$(echo "$package" | tr / _).test
	go test -c -fuzz=. -o "$binary" "./$package"
	wait
	targets "$package" "$binary" &
done
wait
echo "fuzz: $(wc -l <"$work/passed") passed, $(wc -l <"$work/failed") failed"
[ ! -s "$work/failed" ]

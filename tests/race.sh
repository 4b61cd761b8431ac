#!/bin/sh
# Go tests under the race detector, in short form: of the packages named, or of all that
# start goroutines or share memory. The detector needs a C compiler; where none is on the
# PATH, zig from PyPI (pinned) is used.
set -eu
cd "$(dirname "$0")/.."
mkdir -p .cache
have() { command -v "$1" >/dev/null 2>&1; }
if ! have "${CC:-gcc}" && have clang; then
	CC=clang
	export CC
elif ! have "${CC:-gcc}"; then
	if [ ! -x .cache/zigcc ]; then
		echo "no C compiler for the race detector: getting zig from PyPI" >&2
		.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: --target .cache/zig -r tests/zig.txt
		printf '#!/bin/sh\nexport ZIG_GLOBAL_CACHE_DIR="%s" PYTHONPATH="%s"\nexec "%s" -m ziglang cc "$@"\n' \
			"$PWD/.cache/zig-cache" "$PWD/.cache/zig" "$PWD/.venv/bin/python" >.cache/zigcc
		chmod +x .cache/zigcc
	fi
	CC="$PWD/.cache/zigcc"
	export CC
fi
if [ $# -eq 0 ]; then
	concurrent='^[[:space:]]*go (func|[A-Za-z_.]+\()|"sync|t\.Parallel'
	for file in $(grep -rlE --include='*.go' "$concurrent" batchjobs cmd engine httpapi kernel runtime viz); do dirname "$file"; done | sort -u >.cache/race
	for dir in $(cat .cache/race); do
		ls "$dir"/*_test.go >/dev/null 2>&1 && set -- "$@" "./$dir"
	done
fi
CGO_ENABLED=1 exec go test -race -short -timeout 25m "$@"

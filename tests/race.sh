#!/bin/sh
# Go tests under the race detector, in short form. The detector needs a C compiler;
# where none is on the PATH, zig from PyPI (pinned) is used.
set -eu
cd "$(dirname "$0")/.."
if ! command -v "${CC:-gcc}" >/dev/null 2>&1 && ! command -v clang >/dev/null 2>&1; then
	if [ ! -x .cache/zigcc ]; then
		echo "no C compiler for the race detector: getting zig from PyPI" >&2
		mkdir -p .cache
		.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: --target .cache/zig -r tests/zig.txt
		printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s" -m ziglang cc "$@"\n' "$PWD/.cache/zig" "$PWD/.venv/bin/python" >.cache/zigcc
		chmod +x .cache/zigcc
	fi
	CC="$PWD/.cache/zigcc"
	export CC
fi
CGO_ENABLED=1 exec go test -race -short "${@:-./...}"

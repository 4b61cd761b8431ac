#!/bin/sh
# Runs a command against a server of its own: server.sh COMMAND… starts
# `godwit serve` with the real small model, or SERVER_MODEL, on a free loopback port, sets
# GODWIT_BASE_URL and GODWIT_MODEL, runs the command and ends the server. SERVER_ARGS adds flags.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
log=$(mktemp)
model=${SERVER_MODEL:-smollm2}
# shellcheck disable=SC2086
"$root/bin/godwit" serve --model-path "$model" --host 127.0.0.1 --port 0 --log-level warning ${SERVER_ARGS:-} 2>"$log" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -f "$log"' EXIT INT TERM
waited=0
while ! url=$(sed -n 's/.*serving .* at \(http[^[:cntrl:]]*\/v1\).*/\1/p' "$log") || [ -z "$url" ]; do
	if ! kill -0 "$server" 2>/dev/null; then
		cat "$log" >&2
		exit 1
	fi
	waited=$((waited + 1))
	[ "$waited" -lt 3000 ] || { echo "the server did not start within five minutes" >&2; cat "$log" >&2; exit 1; }
	sleep 0.1
done
GODWIT_BASE_URL=$url GODWIT_MODEL=$model "$@"

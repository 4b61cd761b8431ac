"""godwit kernel build: a kernel with more packages, and what is said when it cannot be."""

import os
import pathlib
import shutil
import subprocess

import pytest

from commands import GODWIT, ROOT, needs_godwit, run

pytestmark = needs_godwit

MODULE = "github.com/agnivade/levenshtein@v1.2.1"  # small, without dependencies


def fetched():
    """Whether the module is here or can be fetched."""
    if not shutil.which("go"):
        return False
    try:
        return subprocess.run(["go", "mod", "download", MODULE], cwd=ROOT, capture_output=True, timeout=120, env={**os.environ, "GOFLAGS": "-mod=mod"}).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def test_a_real_module_is_linked_in(tmp_path):
    if not fetched():
        pytest.skip("no Go toolchain, or the module proxy cannot be reached")
    before = (ROOT / "go.mod").read_bytes()
    program = tmp_path / "more"
    built = run(GODWIT, "kernel", "build", "--with", MODULE, "-o", program, cwd=ROOT, timeout=900)
    assert built.code == 0 and "github.com/agnivade/levenshtein\n" in built.text, built
    assert (ROOT / "go.mod").read_bytes() == before and not list((ROOT / "runtime" / "linked").glob("extra_*"))
    code = 'import "github.com/agnivade/levenshtein"\nlevenshtein.ComputeDistance("kitten", "sitting")\nstat.Mean([]float64{1, 3}, nil)\n'
    ran = run(program, "repl", stdin=code)
    assert ran.code == 0 and ran.text == "3\n2\n", ran
    assert "github.com/agnivade/levenshtein" in run(program, "kernel", "packages").text
    ran = run(GODWIT, "repl", stdin=code)
    assert ran.code == 1 and "neither in std nor linked into this binary" in ran.err, ran


@pytest.mark.parametrize(
    "args, env, message, status",
    [
        ([], {}, "--with names no module", 2),
        (["--with", "github.com/agnivade/levenshtein"], {"PATH": "/nonexistent"}, "needs a Go toolchain", 1),
        (["--with", "-modfile=x"], {}, "not the path of a package", 1),
        (["--with", "example.com/a/internal/b"], {}, "not the path of a package", 1),
        (["--with", "gonum.org/v1/gonum/mat"], {}, "cells can import it already", 1),
        (["--with", "example.com/no/such@v1.0.0"], {"GOPROXY": "off"}, "example.com/no/such", 1),
        (["--with", "example.com/a", "--source", "/"], {}, "is no checkout", 1),
    ],
)
def test_what_cannot_be_built_is_said(args, env, message, status, tmp_path):
    if "PATH" not in env and not shutil.which("go"):
        pytest.skip("no Go toolchain")
    ran = run(GODWIT, "kernel", "build", *args, "-o", tmp_path / "x", cwd=ROOT, env=env)
    assert ran.code == status and message in ran.err and not (tmp_path / "x").exists(), ran


def test_it_asks_for_the_source(tmp_path):
    if not shutil.which("go"):
        pytest.skip("no Go toolchain")
    ran = run(GODWIT, "kernel", "build", "--with", "example.com/a", cwd=tmp_path)
    assert ran.code == 1 and "godwit's source is not here" in ran.err, ran


def test_the_linked_packages_are_those_of_the_list():
    listed = [line.split()[0] for line in run(GODWIT, "kernel", "packages").text.splitlines()]
    assert len(listed) > 40 and listed == sorted(listed)
    source = (pathlib.Path(ROOT) / "runtime" / "linked" / "gen" / "main.go").read_text()
    assert all(f'"{path}"' in source for path in listed)

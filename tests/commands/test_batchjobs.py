"""batchjobs: good and damaged inputs, outputs of every compression, interruption."""

import bz2
import gzip
import json
import lzma
import re
import signal
import subprocess
import time

import pytest
import zstandard

from commands import (
    BATCHJOBS, DONE, ERROR_LINES, INTERRUPTED, PERMANENT, Running, answers, chat_line, ids, needs_batchjobs, needs_model, run,
    text_line, truncated_gguf,
)

pytestmark = needs_batchjobs
FAKE = "--fake-engine"  # for what concerns lines and files, not text


def fake_lines(n, **kw):
    return "".join(text_line(i, f"prompt {i}", model="default", **kw) for i in range(n))


@needs_model
def test_a_compressed_file_is_answered_by_the_real_model(tmp_path):
    lines = chat_line(0, "List 3 countries and their capitals.", max_tokens=24) + text_line(1) + '"Two plus two is"\n'
    (tmp_path / "in.jsonl.zst").write_bytes(zstandard.compress(lines.encode()))
    ran = run(BATCHJOBS, "run", "in.jsonl.zst", "--max-tokens", "4", cwd=tmp_path)
    assert ran.code == DONE, ran
    assert "completed: 3 lines, 0 errors" in ran.err
    out = answers(zstandard.ZstdDecompressor().decompress((tmp_path / "in.out.jsonl.zst").read_bytes(), max_output_size=1 << 24))
    assert [a["custom_id"] for a in out] == ["q0", "q1", None]
    chat, text, plain = (a["response"]["body"] for a in out)
    assert chat["choices"][0]["message"]["content"] and chat["usage"]["completion_tokens"] <= 24
    assert "Paris" in text["choices"][0]["text"]
    assert plain["usage"]["completion_tokens"] == 4
    manifest = json.loads((tmp_path / "in.out.jsonl.zst.manifest.json").read_text())
    assert manifest["status"] == "completed" and manifest["lines"] == 3 and manifest["errors"] == 0
    shown = run(BATCHJOBS, "cat", "in.out.jsonl.zst", cwd=tmp_path)
    assert shown.code == 0 and "Paris" in shown.text and "q0" in shown.text


@needs_model
def test_bad_lines_become_error_lines_and_the_others_are_answered(tmp_path):
    bad = [
        "{bad json",
        text_line(1, model="no-such-model").strip(),
        '{"custom_id":"q2","method":"POST","url":"/v1/embeddings","body":{}}',
        '{"custom_id":"q3","method":"GET","url":"/v1/completions","body":{}}',
        text_line(4, stream=True).strip(),
        text_line(5, temperature="hot").strip(),
        '{"custom_id":7,"method":"POST","url":"/v1/completions","body":{"model":"smollm2","prompt":"x"}}',
        '["an array"]',
        '{"custom_id":"q8","custom_id":"q8","url":"/v1/completions","body":{}}',
        text_line(9, prompt="word " * 20000).strip(),
    ]
    (tmp_path / "in.jsonl").write_text(text_line("first", max_tokens=2) + "\n".join(bad) + "\n" + text_line("last", max_tokens=2))
    ran = run(BATCHJOBS, "run", "in.jsonl", "-o", "out.jsonl", cwd=tmp_path)
    assert ran.code == ERROR_LINES, ran
    assert "12 lines, 10 errors" in ran.err
    out = answers(tmp_path / "out.jsonl")
    assert len(out) == 12
    assert out[0]["custom_id"] == "qfirst" and out[0]["error"] is None
    assert out[-1]["custom_id"] == "qlast" and out[-1]["error"] is None
    codes = [a["error"]["code"] for a in out[1:-1]]
    assert codes[0] == "invalid_json" and codes[1] == "model_not_found" and codes[2] == codes[3] == "unsupported_url"
    assert codes[4] == "stream_unsupported" and codes[6] == "invalid_custom_id" and codes[7] == codes[8] == "invalid_json"
    assert out[6]["error"]["param"] == "temperature"
    assert "context" in out[10]["error"]["message"].lower()
    assert [a["line"] for a in out[1:-1]] == list(range(2, 12))
    assert out[1]["byte_offset"] == len(text_line("first", max_tokens=2))
    check = run(BATCHJOBS, "check", "in.jsonl", cwd=tmp_path)
    assert check.code == ERROR_LINES and "in.jsonl:2" in check.text and "12 lines" in check.err


def test_inputs_of_every_compression_give_the_same_answers(tmp_path):
    lines = fake_lines(20).encode()
    plain = run(BATCHJOBS, "run", "-", FAKE, stdin=lines)
    want = [(a["custom_id"], a["response"]["body"]["choices"][0]["text"]) for a in answers(plain.out)]
    assert len(want) == 20 and len({t for _, t in want}) > 5
    packed = {
        "in.jsonl": lines, "in.jsonl.zst": zstandard.compress(lines), "in.jsonl.gz": gzip.compress(lines),
        "in.jsonl.bz2": bz2.compress(lines), "in.jsonl.xz": lzma.compress(lines),
        "two-frames.zst": zstandard.compress(lines[:333]) + zstandard.compress(lines[333:]),
        "two-members.gz": gzip.compress(lines[:999]) + gzip.compress(lines[999:]),
        "wrong-extension.gz": zstandard.compress(lines), "no-extension": gzip.compress(lines),
        "bom.jsonl": b"\xef\xbb\xbf" + lines, "crlf.jsonl": lines.replace(b"\n", b"\r\n"), "no-final-newline.jsonl": lines[:-1],
        "blank-lines.jsonl": b"\n\n" + lines.replace(b"\n", b"\n \n"),
    }
    for name, data in packed.items():
        (tmp_path / name).write_bytes(data)
        ran = run(BATCHJOBS, "run", name, FAKE, "-o", "-", cwd=tmp_path)
        assert ran.code == DONE, (name, ran)
        got = [(a["custom_id"], a["response"]["body"]["choices"][0]["text"]) for a in answers(ran.out)]
        assert got == want, name
        piped = run(BATCHJOBS, "run", "-", FAKE, stdin=data)
        assert piped.code == DONE and len(answers(piped.out)) == 20, (name, piped)


def test_outputs_of_every_compression_are_readable_by_other_tools(tmp_path):
    (tmp_path / "in.jsonl").write_text(fake_lines(2000))
    readers = {
        "out.jsonl": lambda b: b, "out.jsonl.gz": gzip.decompress, "out.jsonl.xz": lzma.decompress,
        # One call, which reads one frame: all lines must be in it.
        "out.jsonl.zst": lambda b: zstandard.ZstdDecompressor().decompress(b, max_output_size=1 << 26),
    }
    for name, read in readers.items():
        ran = run(BATCHJOBS, "run", "in.jsonl", FAKE, "-o", name, cwd=tmp_path)
        assert ran.code == DONE, (name, ran)
        assert ids(read((tmp_path / name).read_bytes())) == [f"q{i}" for i in range(2000)], name
        raw = run(BATCHJOBS, "cat", "--raw", "-n", "3", name, cwd=tmp_path)
        assert ids(raw.out) == ["q0", "q1", "q2"], name
    assert run(BATCHJOBS, "run", "in.jsonl", FAKE, "-o", "out.jsonl.lz4", cwd=tmp_path).code == DONE
    assert len(answers(run(BATCHJOBS, "cat", "--raw", "out.jsonl.lz4", cwd=tmp_path).out)) == 2000
    assert not list(tmp_path.glob("*.tmp"))


def test_damaged_inputs_end_the_job_and_keep_what_came_before(tmp_path):
    lines = "".join(text_line(i, "".join(f"{hash((i, j)):x}" for j in range(40)), model="default") for i in range(400)).encode()
    zst, gz = zstandard.compress(lines), gzip.compress(lines)
    cases = {
        "truncated.zst": (zst[: len(zst) // 2], "truncated"),
        "truncated.gz": (gz[: len(gz) // 2], "truncated"),
        "garbage-behind.zst": (zst + b"this is no frame", "magic number"),
        "utf16.jsonl": (lines.decode().encode("utf-16"), "UTF-16"),
    }
    for name, (data, want) in cases.items():
        (tmp_path / name).write_bytes(data)
        out = tmp_path / f"{name}.out.jsonl"
        ran = run(BATCHJOBS, "run", name, FAKE, "-o", out, cwd=tmp_path)
        assert ran.code == PERMANENT, (name, ran)
        assert name in ran.err and want.lower() in ran.err.lower(), (name, ran)
        if not out.exists():
            assert name == "utf16.jsonl", (name, "nothing was kept")
            continue
        got = ids(out)
        assert got == [f"q{i}" for i in range(len(got))], name
        least, most = {"garbage-behind.zst": (400, 400), "utf16.jsonl": (0, 0)}.get(name, (1, 399))
        assert least <= len(got) <= most, name
        manifest = json.loads((tmp_path / f"{name}.out.jsonl.manifest.json").read_text())
        assert manifest["status"] == "failed" and manifest["failure"], name


def test_empty_inputs_give_empty_outputs(tmp_path):
    for name, data in {"empty.jsonl": b"", "newlines.jsonl": b"\n\n\r\n", "empty.jsonl.zst": zstandard.compress(b"")}.items():
        (tmp_path / name).write_bytes(data)
        ran = run(BATCHJOBS, "run", name, FAKE, "-o", "-", cwd=tmp_path)
        assert ran.code == DONE and ran.out == b"", (name, ran)


@pytest.mark.parametrize(
    "args, want",
    [
        ([], "name at least one file"),
        (["in.jsonl", "--no-such-flag"], "--no-such-flag"),
        (["in.jsonl", "--concurrency", "many"], "many"),
        (["in.jsonl", "--progress", "loud"], "loud"),
        (["missing.jsonl"], "missing.jsonl"),
        (["in.jsonl", "-o", "there.jsonl"], "exists"),
        (["in.jsonl", "-o", "in.jsonl", "--overwrite"], "is the input"),
        (["in.jsonl", "-o", "no/such/folder/out.jsonl"], "folder"),
        (["in.jsonl", "-o", "."], "."),
        (["in.jsonl", "-o", "out.jsonl.bz2"], "bzip2"),
        (["in.jsonl", "-o", "out.jsonl", "--model-path", "./missing.gguf"], "missing.gguf"),
        (["in.jsonl", "-o", "out.jsonl", "--model-path", "smolm2"], "did you mean smollm2"),
        (["in.jsonl", "-o", "out.jsonl", "--device", "cuda"], "CUDA"),
        (["in.jsonl", "-o", "out.jsonl", "--threads", "-2"], "--threads"),
    ],
)
def test_wrong_arguments_are_told_and_nothing_is_left(tmp_path, args, want):
    (tmp_path / "in.jsonl").write_text(text_line(0))
    (tmp_path / "there.jsonl").write_text("mine")
    before = sorted(p.name for p in tmp_path.iterdir())
    ran = run(BATCHJOBS, "run", *args, cwd=tmp_path)
    assert ran.code == PERMANENT, ran
    assert want in ran.err, ran
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert (tmp_path / "there.jsonl").read_text() == "mine"


@needs_model
def test_a_truncated_model_file_is_told_with_its_place(tmp_path):
    (tmp_path / "in.jsonl").write_text(text_line(0))
    ran = run(BATCHJOBS, "run", "in.jsonl", "--model-path", truncated_gguf(tmp_path), cwd=tmp_path)
    assert ran.code == PERMANENT and "cut.gguf" in ran.err and "byte" in ran.err and "truncated" in ran.err, ran


def test_an_unknown_command_is_an_error():
    ran = run(BATCHJOBS, "ruin")
    assert ran.code == PERMANENT and '"ruin"' in ran.err and "run" in ran.err, ran


def test_plain_text_from_standard_input_to_standard_output():
    ran = run(BATCHJOBS, "run", "-", FAKE, "--text", "--chat", stdin="one\ntwo {not json\n\nthree ☃\n")
    assert ran.code == DONE, ran
    out = answers(ran.out)
    assert len(out) == 3 and all(a["response"]["body"]["object"] == "chat.completion" for a in out)


def test_overwrite_replaces_the_output(tmp_path):
    (tmp_path / "in.jsonl").write_text(fake_lines(2))
    (tmp_path / "out.jsonl").write_text("old")
    assert run(BATCHJOBS, "run", "in.jsonl", FAKE, "-o", "out.jsonl", "--overwrite", cwd=tmp_path).code == DONE
    assert ids(tmp_path / "out.jsonl") == ["q0", "q1"]


def test_cat_of_a_file_that_is_no_output(tmp_path):
    ran = run(BATCHJOBS, "cat", tmp_path / "missing.jsonl")
    assert ran.code == PERMANENT and "missing.jsonl" in ran.err, ran


MANY = 400


def long_job(folder, n=MANY):
    """A job that nobody waits for to the end, whose lines end one after the other."""
    (folder / "in.jsonl").write_text("".join(text_line(i, f"Count on from {i}:", max_tokens=24 + i % 7, ignore_eos=True) for i in range(n)))
    return ["run", "in.jsonl", "--concurrency", "2", "--progress", "json", "--threads", "2"]


def in_order(got):
    numbers = [int(i[1:]) for i in got]
    return numbers == sorted(set(numbers))


@needs_model
def test_ctrl_c_in_the_middle_keeps_whole_lines_in_order(tmp_path):
    with Running(BATCHJOBS, *long_job(tmp_path), "-o", "out.jsonl.zst", cwd=tmp_path) as job:
        job.wait_for(r'"done":\s*[1-9]')
        job.interrupt()
        ran = job.end()
    assert ran.code == INTERRUPTED, ran
    assert "interrupted" in ran.err
    data = zstandard.ZstdDecompressor().decompress((tmp_path / "out.jsonl.zst").read_bytes(), max_output_size=1 << 26)
    got = ids(data)
    assert 0 < len(got) < MANY and in_order(got), got
    assert all(a["error"] is None for a in answers(data))
    manifest = json.loads((tmp_path / "out.jsonl.zst.manifest.json").read_text())
    assert manifest["status"] == "interrupted" and manifest["lines"] == len(got)
    assert not list(tmp_path.glob("*.tmp"))


@needs_model
def test_ctrl_c_while_writing_to_a_pipe_leaves_whole_lines(tmp_path):
    with Running(BATCHJOBS, *long_job(tmp_path), "-o", "-", cwd=tmp_path) as job:
        job.wait_for(r"\n", where="out")
        job.interrupt()
        ran = job.end()
    assert ran.code == INTERRUPTED, ran
    assert in_order(ids(ran.out))


@needs_model
def test_ctrl_c_while_the_model_loads(tmp_path):
    with Running(BATCHJOBS, *long_job(tmp_path), "-o", "out.jsonl", cwd=tmp_path) as job:
        time.sleep(0.05)
        job.interrupt()
        ran = job.end()
    assert ran.code in (INTERRUPTED, -signal.SIGINT), ran  # before its first instructions the system ends it
    assert not (tmp_path / "out.jsonl").exists() or answers(tmp_path / "out.jsonl") == []


@needs_model
def test_kill_in_the_middle_leaves_no_output_and_does_not_block_the_next_run(tmp_path):
    job = long_job(tmp_path)
    with Running(BATCHJOBS, *job, "-o", "out.jsonl", cwd=tmp_path) as killed:
        killed.wait_for(r'"done":\s*[1-9]')
        second = run(BATCHJOBS, *job, FAKE, "-o", "out.jsonl", cwd=tmp_path)
        assert second.code == PERMANENT and "another run" in second.err, second
        killed.process.kill()
        assert killed.end().code == -signal.SIGKILL
    assert not (tmp_path / "out.jsonl").exists()
    (tmp_path / "in.jsonl").write_text(fake_lines(24))
    again = run(BATCHJOBS, "run", "in.jsonl", FAKE, "-o", "out.jsonl", cwd=tmp_path)
    assert again.code == DONE, again
    assert ids(tmp_path / "out.jsonl") == [f"q{i}" for i in range(24)]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_job_that_waits_for_its_reader_ends_when_it_is_told(tmp_path):
    (tmp_path / "in.jsonl").write_text(fake_lines(20000))
    with open(tmp_path / "log", "w+") as log:
        job = subprocess.Popen(
            [BATCHJOBS, "run", "in.jsonl", FAKE, "-o", "-"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=tmp_path
        )
        with job.stdout as out:
            first = out.readline()
            job.terminate()  # it can not be at its end: a pipe holds a hundred lines
            rest = out.read()
        code = job.wait(300)
    assert code == INTERRUPTED, (tmp_path / "log").read_text()
    assert in_order(ids(first + rest))


@pytest.mark.parametrize("command", [[], ["run"], ["cat"], ["check"], ["completion", "bash"]])
def test_help_and_completion(command):
    ran = run(BATCHJOBS, *command, "--help")
    assert ran.code == 0 and "Usage:" in ran.text, ran


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_scripts(shell):
    ran = run(BATCHJOBS, "completion", shell)
    assert ran.code == 0 and b"batchjobs" in ran.out and len(ran.out) > 1000, ran


def test_compressed_inputs_that_ask_for_too_much_are_refused(tmp_path):
    lines = fake_lines(40).encode()
    wide = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=30)).compressobj()
    dictionary = zstandard.train_dictionary(1000, [lines[i : i + 80] for i in range(0, 3000, 7)] * 3)
    cases = {
        "wide.zst": (wide.compress(lines) + wide.flush(), "--max-window"),
        "dictionary.zst": (zstandard.ZstdCompressor(dict_data=dictionary).compress(lines), f"id {dictionary.dict_id()}"),
    }
    for name, (data, want) in cases.items():
        (tmp_path / name).write_bytes(data)
        ran = run(BATCHJOBS, "run", name, FAKE, "-o", "-", cwd=tmp_path)
        assert ran.code == PERMANENT and want in ran.err and name in ran.err and ran.out == b"", (name, ran)
    ran = run(BATCHJOBS, "run", "wide.zst", FAKE, "-o", "-", "--max-window", 1 << 30, cwd=tmp_path)
    assert ran.code == DONE and len(answers(ran.out)) == 40, ran


def test_a_bomb_is_one_line_that_is_too_long(tmp_path):
    lines = fake_lines(3).encode()
    bomb = zstandard.ZstdCompressor().compressobj()
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(300)) + bomb.flush()  # 300 MB in some 10 KB
    (tmp_path / "bomb.zst").write_bytes(zstandard.compress(lines) + packed + zstandard.compress(b"\n" + lines))
    ran = run(BATCHJOBS, "run", "bomb.zst", FAKE, "-o", "-", cwd=tmp_path)
    assert ran.code == ERROR_LINES, ran
    out = answers(ran.out)
    assert len(out) == 7 and out[3]["error"]["code"] == "line_too_long" and out[3]["line"] == 4


def test_lines_with_constraints_and_damaged_ones_among_them(tmp_path):
    schema = {"type": "object", "additionalProperties": False, "required": ["n", "who"],
              "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}, "who": {"enum": ["me", "you"]}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    tool = {"type": "function", "function": {"name": "pick", "parameters": schema}}
    asked = dict(model="builtin:tiny", temperature=1, max_tokens=120)
    good, bad = [], []
    for i in range(12):
        good += [chat_line(f"schema{i}", **asked, seed=i, response_format=form), chat_line(f"free{i}", **asked, seed=i),
                 chat_line(f"call{i}", **asked, seed=i, tools=[tool], tool_choice="required", parallel_tool_calls=False),
                 chat_line(f"think{i}", **asked, seed=i, response_format=form, chat_template_kwargs={"enable_thinking": True}),
                 text_line(f"regex{i}", **asked, seed=i, regex="[a-c]{3}"), text_line(f"choice{i}", **asked, seed=i, guided_choice=["yes", "no"])]
    for i, (fields, place) in enumerate([
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"properties": {"a": {"$ref": "#/none"}}}}}}, "#/properties/a/$ref"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": "{broken"}}}, "JSON"),
        ({"response_format": {"type": "json_schema"}}, "missing"), ({"regex": "("}, "missing"), ({"ebnf": "root ::= nowhere"}, "line 1, column 10"),
        ({"tools": [{**tool, "function": {"name": "pick", "parameters": {"properties": {"x": {"minimum": "one"}}}}}], "tool_choice": "required"}, "#/properties/x/minimum"),
    ]):
        bad.append((f"qbad{i}", place))
        good.insert(7 * i + 3, chat_line(f"bad{i}", **{**asked, **fields}))
    (tmp_path / "in.jsonl").write_text("".join(good))
    ran = run(BATCHJOBS, "run", "in.jsonl", "--model-path", "builtin:tiny", "--reasoning-parser", "auto", "--tool-call-parser", "qwen25", cwd=tmp_path)
    assert ran.code == ERROR_LINES and f"{len(good)} lines, {len(bad)} errors" in ran.err, ran
    out = {a["custom_id"]: a for a in answers(tmp_path / "in.out.jsonl")}
    assert len(out) == len(good)
    for name, place in bad:
        assert out[name]["error"]["code"] and place in out[name]["error"]["message"], out[name]
    ended = 0
    for name, a in out.items():
        if name.startswith("qbad"):
            continue
        (choice,) = a["response"]["body"]["choices"]
        message = choice.get("message") or {"content": choice["text"]}
        if choice["finish_reason"] == "length":
            continue
        ended += 1
        if name.startswith("qcall"):
            (call,) = message["tool_calls"]
            assert choice["finish_reason"] == "tool_calls" and call["function"]["name"] == "pick", a
            check = json.loads(call["function"]["arguments"])
        elif name.startswith(("qschema", "qthink")):
            check = json.loads(message["content"])
            assert not name.startswith("qthink") or message["reasoning_content"], a
        else:
            want = {"qregex": "[a-c]{3}", "qchoic": "yes|no"}.get(name[:6], "(?s).*")
            assert re.fullmatch(want, message["content"]), a
            continue
        assert set(check) == {"n", "who"} and check["n"] in range(10) and check["who"] in ("me", "you"), a
    assert ended > 40, f"{ended} of {len(good)} ended by themselves"

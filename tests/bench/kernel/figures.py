"""Figures of the kernel over real ZeroMQ, measured with jupyter_client:

    GODWIT_BIN=bin/godwit .venv/bin/python tests/bench/kernel/figures.py [NAME...]

NAME is one of start, trip, help, interrupt, control, cells (all). Each prints one table row. The
client's own work (JSON, HMAC, polling) is part of every time.
"""
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "kernel"))

import psutil  # noqa: E402
import zmq  # noqa: E402

import kernelcase  # noqa: E402
from kernelcase import (KERNEL, control_request, iopub_until_idle, shell_reply, shell_request, start,
                        stop, wait_for_stream)  # noqa: E402

# Cells that do not end by themselves: busy ones and waiting ones.
ENDLESS = [
    "for { }", "for i := 0; ; i++ { }", "x := 0\nfor { x += 2; x-- }", "for { fmt.Sprint(1) }",
    "func spin() { for { } }\nspin()", "func fib(n int) int { if n < 2 { return n }; return fib(n-1) + fib(n-2) }\nfib(60)",
    "again: goto again", "m := map[int]int{}\nfor i := 0; ; i++ { m[i%100]++ }", "s := []int{}\nfor { s = append(s[:0], 1) }",
    "time.Sleep(time.Hour)", "<-make(chan int)", "make(chan int) <- 1", "select { }",
    "select { case <-make(chan int): case <-time.After(time.Hour): }", "for range time.Tick(time.Millisecond) { }",
    "var wg sync.WaitGroup\nwg.Add(1)\nwg.Wait()", "var mu sync.Mutex\nmu.Lock()\nmu.Lock()",
    "var rw sync.RWMutex\nrw.Lock()\nrw.RLock()", "cond := sync.NewCond(&sync.Mutex{})\ncond.L.Lock()\ncond.Wait()",
    "<-context.Background().Done()\n<-time.After(time.Hour)",
    "var wg4 sync.WaitGroup\nfor range 4 { wg4.Go(func() { for { } }) }\nwg4.Wait()", "go func() { for { } }()\nfor { }",
    "for { func() { defer func() { recover() }(); panic(1) }() }", "for { select { default: } }",
    "var n atomic.Int64\nfor n.Load() == 0 { }", "for { runtime.Gosched() }",
    "type T struct{ n int }\nfunc (t *T) Inc() { t.n++ }\nvar t T\nfor { t.Inc() }",
    "for { json.Marshal(map[string]int{\"a\": 1}) }", "ch := make(chan int)\ngo func() { for { ch <- 1 } }()\nfor range ch { }",
    "for { fmt.Print(\"spam\") }", "listener, _ := net.Listen(\"tcp\", \"127.0.0.1:0\")\nlistener.Accept()", "sort.Slice(make([]int, 1<<24), func(i, j int) bool { return i < j })",
]


def quantiles(seconds):
    v = sorted(seconds)

    def at(q):
        return f"{v[min(len(v) - 1, int(q * len(v)))] * 1e3:.2f}"
    return f"p50 {at(.5)}  p95 {at(.95)}  p99 {at(.99)}  max {at(1)} ms  (n = {len(v)})"


def row(name, text, goal=""):
    print(f"{name:34} {text:60} {goal}", flush=True)


def trip(kc, code):
    begin = time.perf_counter()
    msg_id = kc.execute(code)
    content = shell_reply(kc, msg_id)["content"]
    iopub_until_idle(kc, msg_id)
    took = time.perf_counter() - begin
    assert content["status"] == "ok", content
    return took


def measure_trip():
    km, kc = start()
    for _ in range(50):
        trip(kc, "1 + 1")
    row("trivial cell, reply and idle", quantiles([trip(kc, "1 + 1") for _ in range(1000)]), "p50 <= 5 ms")
    stop(km, kc)


def measure_start():
    """From the start of the process to the first kernel_info_reply, with the connection file ready."""
    times = []
    for _ in range(20):
        from jupyter_client import KernelManager
        km = KernelManager(kernel_name=KERNEL)
        km.write_connection_file()
        ctx = zmq.Context.instance()
        s = ctx.socket(zmq.DEALER)
        s.linger, s.reconnect_ivl = 0, 1
        request = km.session.serialize(km.session.msg("kernel_info_request"))
        log = open(os.devnull, "w")
        begin = time.perf_counter()
        process = subprocess.Popen([kernelcase.BIN, "kernel", "run", "--connection-file", km.connection_file, "--history", "none"], stderr=log)
        s.connect(f"tcp://{km.ip}:{km.shell_port}")
        s.send_multipart(request)
        assert s.poll(60_000), "no kernel_info_reply"
        times.append(time.perf_counter() - begin)
        s.close()
        process.terminate()
        process.wait()
        km.cleanup_resources()
    row("start to kernel_info", quantiles(times), "<= 300 ms")


def measure_help():
    km, kc = start()
    trip(kc, "type Robot struct { Name string }\nfunc (r *Robot) Walk(n int) bool { return true }\nrobot := &Robot{}\nreq := &http.Request{}")
    codes = ["strings.Tr", "fmt.P", "robot.", "req.", "http.St", "json.", "os.", "ro", "time.Now().", "req.Header.", "math.", "x := ",
             "DisplayH", "sort.S", "bytes.Buffer{}.", "reflect.ValueOf(1).", "net.", "syscall.", "unicode.", "ast."]
    first, again = [], []
    for request in ("complete_request", "inspect_request"):
        for times, rounds in ((first, 1), (again, 10)):
            for code in codes * rounds:
                code = code if request == "complete_request" else {".": "strings.Builder"}.get(code[-1], code.rstrip(".") or "strings")
                begin = time.perf_counter()
                shell_request(kc, request, {"code": code, "cursor_pos": len(code), "detail_level": 0})
                times.append(time.perf_counter() - begin)
    row("completion and inspection, first", quantiles(first), "")
    row("completion and inspection", quantiles(first + again), "p95 <= 40 ms")
    msg_id = kc.execute('fmt.Println("on")\nfor { }')
    wait_for_stream(kc, msg_id, "on")
    busy = []
    for code in codes * 5:
        begin = time.perf_counter()
        shell_request(kc, "complete_request", {"code": code, "cursor_pos": len(code)})
        busy.append(time.perf_counter() - begin)
    row("completion while a cell runs", quantiles(busy), "")
    control_request(kc, "interrupt_request")
    shell_reply(kc, msg_id)
    stop(km, kc)


def measure_interrupt():
    """From sending interrupt_request to the idle of the interrupted cell."""
    times, lost, slowest = [], [], (0, "")
    for code in ENDLESS:
        km, kc = start()
        trip(kc, "kept := 42")
        for _ in range(3):
            msg_id = kc.execute('fmt.Println("on")\n' + code)
            wait_for_stream(kc, msg_id, "on")
            time.sleep(0.05)
            msg = kc.session.msg("interrupt_request", {})
            begin = time.perf_counter()
            kc.control_channel.send(msg)
            got = iopub_until_idle(kc, msg_id)
            times.append(time.perf_counter() - begin)
            slowest = max(slowest, (times[-1], code))
            reply = shell_reply(kc, msg_id)["content"]
            if reply.get("ename") != "Interrupted":
                lost.append((code, reply.get("ename"), [m["msg_type"] for m in got][-3:]))
            kc.control_channel.get_msg(timeout=60)
        value = kc.execute("kept")
        results = [m for m in iopub_until_idle(kc, value) if m["msg_type"] == "execute_result"]
        if [m["content"]["data"]["text/plain"] for m in results] != ["42"]:
            lost.append((code, "state lost"))
        shell_reply(kc, value)
        stop(km, kc)
    row(f"interrupt to idle, {len(ENDLESS)} patterns", quantiles(times), "p99 < 150 ms")
    row("  the slowest", f"{slowest[0] * 1e3:.0f} ms: {slowest[1]!r}")
    for what in lost:
        row("  not interrupted as it should", repr(what))


def measure_control():
    km, kc = start()
    msg_id = kc.execute('fmt.Println("on")\nfor { }')
    wait_for_stream(kc, msg_id, "on")
    row("control while a cell is busy", quantiles([control_request(kc, "kernel_info_request")[1] for _ in range(300)]), "< 20 ms")
    row("usage_request", quantiles([control_request(kc, "usage_request")[1] for _ in range(50)]))
    control_request(kc, "interrupt_request")
    shell_reply(kc, msg_id)
    stop(km, kc)


def measure_cells():
    """10,000 cells that declare, redefine and call; memory after a collection at both ends."""
    km, kc = start()
    process = psutil.Process(km.provisioner.pid)

    def cell(i):
        return f"v{i % 50} := {i}\nfunc f{i % 20}(n int) int {{ return n + {i} }}\nf{i % 20}(v{i % 50})"

    def settle():
        for _ in range(3):
            trip(kc, "runtime.GC(); debug.FreeOSMemory()")
        return process.memory_info().rss
    for i in range(200):
        trip(kc, cell(i))
    before = settle()
    times = [trip(kc, cell(i)) for i in range(10_000)]
    after = settle()
    early, late = sorted(times[:1000])[500], sorted(times[-1000:])[500]
    row("10,000 cells: growth", f"{(after - before) / 2**20:.1f} MiB (RSS {before / 2**20:.0f} -> {after / 2**20:.0f})", "<= 40 MB")
    row("10,000 cells: median latency", f"{early * 1e3:.2f} -> {late * 1e3:.2f} ms ({(late / early - 1) * 100:+.0f} %)", "<= +20 %")
    stop(km, kc)


def main():
    if not kernelcase.BIN:
        sys.exit("GODWIT_BIN does not name the kernel's binary")
    names = sys.argv[1:] or ["start", "trip", "help", "control", "interrupt", "cells"]
    for name in names:
        globals()["measure_" + name]()


if __name__ == "__main__":
    main()

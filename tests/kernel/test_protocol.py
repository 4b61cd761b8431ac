"""Black-box checks of what jupyter_kernel_test does not look at."""
import json
import os
import signal
import subprocess
import tempfile
import time
import unittest
import uuid

import zmq

from kernelcase import (BIN, SNIPPETS, TIMEOUT, Gate, KernelCase, another_client, control_request, iopub_until_idle,
                        parent, send_shell, shell_reply, shell_request, start, stop, wait_for_stream)

ENDLESS = "for { time.Sleep(time.Millisecond) }"
BUSY = "for { }"


class Messages(KernelCase):
    def test_a_cells_messages_come_in_order(self):
        reply, msgs = self.run_cell('fmt.Println("a")\n1 + 1')
        self.assertEqual(msgs[0]["msg_type"], "status")
        self.assertEqual(self.types(msgs), ["execute_input", "stream", "execute_result"])
        for m in msgs:
            if m["msg_type"].startswith("execute_"):
                self.assertEqual(m["content"]["execution_count"], reply["execution_count"])
        self.assertEqual(reply["payload"], [])

    def test_message_ids_are_unique_and_share_a_session(self):
        msgs = self.ok('fmt.Println("a")') + self.ok("1")
        self.assertEqual(len({m["header"]["msg_id"] for m in msgs}), len(msgs))
        self.assertEqual(len({m["header"]["session"] for m in msgs}), 1)

    def test_dates_are_utc(self):
        for m in self.ok("1"):
            self.assertLess(abs(time.time() - m["header"]["date"].timestamp()), 60)

    def test_topics_name_the_kernel_and_the_type(self):
        sub = zmq.Context.instance().socket(zmq.SUB)
        sub.rcvtimeo = TIMEOUT * 1000
        sub.connect(f"tcp://{self.km.ip}:{self.km.iopub_port}")
        sub.subscribe(b"kernel.")
        self.assertEqual(sub.recv_multipart()[0], b"kernel.")  # the welcome
        self.kc.execute("1")
        self.assertRegex(sub.recv_multipart()[0], rb"^kernel\.[0-9a-f]+\.status$")
        sub.close()

    def test_output_streams_while_the_cell_runs(self):
        msg_id, gate = self.busy()
        self.assertFalse(self.kc.shell_channel.msg_ready())
        self.assertEqual(self.types(self.finish(msg_id, gate)), [])

    def test_stdout_and_stderr_keep_their_order(self):
        msgs = self.ok('fmt.Println("1"); fmt.Fprintln(os.Stderr, "2"); fmt.Println("3")')
        self.assertEqual([(m["content"]["name"], m["content"]["text"]) for m in msgs if m["msg_type"] == "stream"],
                         [("stdout", "1\n"), ("stderr", "2\n"), ("stdout", "3\n")])

    def test_many_small_prints_become_few_messages(self):
        msgs = self.ok('for i := 0; i < 2000; i++ { fmt.Println(i) }')
        streams = [m for m in msgs if m["msg_type"] == "stream"]
        self.assertEqual(self.printed(msgs), "".join(f"{i}\n" for i in range(2000)))
        self.assertLess(len(streams), 2000)

    def test_text_that_is_not_utf8_arrives_repaired(self):
        self.assertEqual(self.printed(self.ok(r'os.Stdout.Write([]byte("a\xff\xc3"))')).rstrip("\ufffd"), "a")

    def test_a_character_written_byte_by_byte_stays_whole(self):
        code = 'for _, b := range []byte("€𝄞") { os.Stdout.Write([]byte{b}) }'
        self.assertEqual(self.printed(self.ok(code)), "€𝄞")

    def test_64_megabytes_of_output_and_of_code(self):
        msgs = self.ok('fmt.Print(strings.Repeat("x", 64<<20))', timeout=600)
        self.assertEqual(len(self.printed(msgs)), 64 << 20)
        msgs = self.ok("/*" + "c" * (64 << 20) + "*/ 7", timeout=600)
        self.assertEqual(msgs[-1]["content"]["data"]["text/plain"], "7")

    def test_output_of_a_goroutine_that_outlives_its_cell_keeps_its_parent(self):
        gate = Gate()
        first = self.kc.execute('go func() {\n' + gate.code + '\nfmt.Println("late one")\n}()')
        shell_reply(self.kc, first)
        self.ok('fmt.Println("second")')
        gate.open()
        wait_for_stream(self.kc, first, "late one")

    def test_silent_shows_and_counts_nothing(self):
        before = self.run_cell("1")[0]["execution_count"]
        reply, msgs = self.run_cell('fmt.Println("x"); 5', silent=True)
        self.assertEqual(self.types(msgs), [])
        self.assertEqual(reply["execution_count"], before)
        self.assertEqual(self.run_cell("1")[0]["execution_count"], before + 1)

    def test_without_store_history_nothing_is_counted_or_kept(self):
        before = self.run_cell("1")[0]["execution_count"]
        _, msgs = self.run_cell("40 + 4", store_history=False)
        self.assertEqual(self.types(msgs), ["execute_input", "execute_result"])
        self.assertEqual(self.run_cell("2")[0]["execution_count"], before + 1)
        history = shell_request(self.kc, "history_request", {"hist_access_type": "tail", "n": 2, "output": False, "raw": True})
        self.assertEqual([h[2] for h in history["content"]["history"]], ["1", "2"])

    def test_user_expressions(self):
        reply, _ = self.run_cell("ux := 20", user_expressions={"a": "ux + 1", "bad": "noSuchName"})
        self.assertEqual(reply["user_expressions"]["a"]["data"]["text/plain"], "21")
        self.assertEqual(reply["user_expressions"]["a"]["status"], "ok")
        self.assertEqual(reply["user_expressions"]["bad"]["status"], "error")

    def test_an_error_has_name_value_and_traceback(self):
        reply, msgs = self.run_cell("x0 := 1\nnoSuchName(x0)")
        error = msgs[-1]
        self.assertEqual(error["msg_type"], "error")
        for key in ("ename", "evalue", "traceback"):
            self.assertEqual(reply[key], error["content"][key])
        self.assertIn("noSuchName", reply["evalue"])
        self.assertIn("noSuchName", "\n".join(reply["traceback"]))

    def test_a_panic_leaves_variables_intact(self):
        self.ok("kept := 7")
        reply, _ = self.run_cell("kept = 8\nvar m map[string]int\nm[\"a\"] = 1")
        self.assertEqual(reply["status"], "error")
        self.assertEqual(self.value("kept"), "8")

    def test_a_panic_in_a_goroutine_does_not_end_the_kernel(self):
        self.run_cell('go func() { panic("in a goroutine") }()\ntime.Sleep(200 * time.Millisecond)')
        self.assertEqual(self.value("1 + 1"), "2")

    def test_failure_aborts_the_queue_in_order(self):
        first, gate = self.busy("defer func() { panic(1) }()")
        ids = [first] + [self.kc.execute(code) for code in ('fmt.Println("never")', "3")]
        shell_request(self.kc, "is_complete_request", {"code": "1"})  # answered at once: all are queued
        gate.open()
        replies = [self.kc.get_shell_msg(timeout=TIMEOUT) for _ in ids]
        self.assertEqual([parent(r) for r in replies], ids)
        self.assertEqual([r["content"]["status"] for r in replies], ["error", "aborted", "aborted"])
        for msg_id in ids[1:]:
            self.assertEqual(self.types(iopub_until_idle(self.kc, msg_id)), [])
        self.assertEqual(self.value("1"), "1")

    def test_what_is_no_cell_is_answered_behind_a_failure(self):
        first, gate = self.busy("defer func() { panic(1) }()")
        history = send_shell(self.kc, "history_request", {"hist_access_type": "tail", "n": 1, "output": False, "raw": True})
        gate.open()
        self.assertEqual(shell_reply(self.kc, first)["content"]["status"], "error")
        self.assertEqual(shell_reply(self.kc, history)["content"]["status"], "ok")

    def test_a_failure_that_does_not_stop_lets_the_queue_run(self):
        first, gate = self.busy("defer func() { panic(1) }()", stop_on_error=False)
        second = self.kc.execute("3")
        shell_request(self.kc, "is_complete_request", {"code": "1"})
        gate.open()
        self.assertEqual(shell_reply(self.kc, first)["content"]["status"], "error")
        self.assertEqual(shell_reply(self.kc, second)["content"]["status"], "ok")

    def test_a_cell_sent_after_a_failure_was_seen_runs(self):
        for _ in range(20):
            self.assertEqual(self.run_cell('panic("x")')[0]["status"], "error")
            self.assertEqual(self.run_cell("1")[0]["status"], "ok")

    def test_without_stop_on_error_the_queue_goes_on(self):
        ids = [self.kc.execute(code, stop_on_error=False) for code in ('panic("go on")', "3")]
        replies = [self.kc.get_shell_msg(timeout=TIMEOUT) for _ in ids]
        self.assertEqual([r["content"]["status"] for r in replies], ["error", "ok"])
        iopub_until_idle(self.kc, ids[1])

    def test_display_update_and_clear(self):
        reply, _ = self.run_cell(SNIPPETS["show_id"])
        if "DisplayAs" in reply.get("evalue", ""):
            self.skipTest("cells of this binary have no DisplayAs")
        msgs = self.ok(SNIPPETS["show_id"]) + self.ok(SNIPPETS["update_id"]) + self.ok(SNIPPETS["clear"])
        self.assertEqual([t for t in self.types(msgs) if t != "execute_input"],
                         ["display_data", "update_display_data", "clear_output"])
        shown = [m["content"] for m in msgs if "display" in m["msg_type"]]
        self.assertEqual([c["transient"] for c in shown], [{"display_id": "ID"}] * 2)
        self.assertEqual([c["data"]["text/plain"] for c in shown], ["first", "second"])
        self.assertIs(msgs[-1]["content"]["wait"], True)

    def test_binary_data_travels_as_base64(self):
        msgs = self.ok(SNIPPETS["png"])
        self.assertEqual(msgs[-1]["content"]["data"]["image/png"], "iVBORw==")

    def test_positions_count_code_points(self):
        self.ok("wort := 1")
        code = '_ = "äöü𝄞"; wor'
        reply = shell_request(self.kc, "complete_request", {"code": code, "cursor_pos": len(code)})["content"]
        self.assertIn("wort", reply["matches"])
        self.assertEqual((reply["cursor_start"], reply["cursor_end"]), (len(code) - 3, len(code)))

    def test_completions_carry_types(self):
        reply = shell_request(self.kc, "complete_request", {"code": "strings.Trim", "cursor_pos": 12})["content"]
        types = reply["metadata"]["_jupyter_types_experimental"]
        self.assertEqual([t["text"] for t in types], reply["matches"])
        self.assertEqual({t["type"] for t in types}, {"function"})

    def test_is_complete_proposes_an_indent(self):
        reply = shell_request(self.kc, "is_complete_request", {"code": "func f() {"})["content"]
        self.assertEqual(reply["status"], "incomplete")
        self.assertEqual(reply["indent"].strip(), "")
        self.assertTrue(reply["indent"])

    def test_inspect_of_nothing_is_not_found(self):
        reply = shell_request(self.kc, "inspect_request", {"code": "qqqzzz", "cursor_pos": 3, "detail_level": 0})["content"]
        self.assertEqual((reply["status"], reply["found"]), ("ok", False))

    def test_comms(self):
        reply = shell_request(self.kc, "comm_info_request", {})["content"]
        self.assertEqual((reply["status"], reply["comms"]), ("ok", {}))
        msg = self.kc.session.msg("comm_open", {"comm_id": "c", "target_name": "none", "data": {}})
        self.kc.shell_channel.send(msg)
        closed = iopub_until_idle(self.kc, msg["header"]["msg_id"])
        self.assertEqual(closed[-1]["msg_type"], "comm_close")
        self.assertEqual(closed[-1]["content"]["comm_id"], "c")

    def test_kernel_info(self):
        for ask in (shell_request, lambda *a: control_request(*a)[0]):
            info = ask(self.kc, "kernel_info_request")["content"]
            self.assertEqual(info["implementation"], "godwit")
            self.assertEqual(info["language_info"]["mimetype"], "text/x-go")
            self.assertEqual(info["language_info"]["pygments_lexer"], "go")
            self.assertEqual(info["supported_features"], ["kernel subshells"])
            self.assertEqual(info["protocol_version"], "5.5")
            self.assertIs(info["debugger"], False)

    def test_unknown_requests_get_an_error_and_unknown_messages_nothing(self):
        for ask in (shell_request, lambda *a: control_request(*a)[0]):
            reply = ask(self.kc, "make_tea_request", {"a": 1})
            self.assertEqual(reply["msg_type"], "make_tea_reply")
            self.assertEqual(reply["content"]["status"], "error")
        self.kc.shell_channel.send(self.kc.session.msg("nonsense", {}))
        self.assertEqual(self.value("1"), "1")

    def test_debug_request_is_refused_cleanly(self):
        reply, _ = control_request(self.kc, "debug_request", {"type": "request", "seq": 3, "command": "attach"})
        self.assertEqual(reply["msg_type"], "debug_reply")
        self.assertIs(reply["content"]["success"], False)
        self.assertEqual(reply["content"]["request_seq"], 3)

    def test_heartbeat(self):
        s = zmq.Context.instance().socket(zmq.REQ)
        s.linger = 0
        s.rcvtimeo = TIMEOUT * 1000
        s.connect(f"tcp://{self.km.ip}:{self.km.hb_port}")
        for ping in (b"ping", b"", b"x" * 1000):
            s.send(ping)
            self.assertEqual(s.recv(), ping)
        s.close()


class ControlAndInterrupt(KernelCase):
    def test_control_answers_while_a_cell_runs(self):
        for code in (ENDLESS, BUSY):
            with self.subTest(code):
                msg_id = self.kc.execute('fmt.Println("on")\n' + code, stop_on_error=False)
                wait_for_stream(self.kc, msg_id, "on")
                for _ in range(15):
                    control_request(self.kc, "kernel_info_request")
                self.assertFalse(self.kc.shell_channel.msg_ready(), "the cell ended")
                self.interrupt(msg_id)

    def interrupt(self, msg_id):
        reply, _ = control_request(self.kc, "interrupt_request")
        self.assertEqual(reply["content"]["status"], "ok")
        content = shell_reply(self.kc, msg_id)["content"]
        self.assertEqual((content["status"], content["ename"]), ("error", "Interrupted"))
        iopub_until_idle(self.kc, msg_id)

    def test_interrupt_keeps_the_state(self):
        self.ok("state := 5")
        msg_id = self.kc.execute('fmt.Println("on")\nstate = 6\n' + ENDLESS)
        wait_for_stream(self.kc, msg_id, "on")
        self.interrupt(msg_id)
        self.assertEqual(self.value("state"), "6")

    def test_sigint_interrupts(self):
        msg_id = self.kc.execute('fmt.Println("on")\n' + ENDLESS)
        wait_for_stream(self.kc, msg_id, "on")
        os.kill(self.km.provisioner.pid, signal.SIGINT)
        self.assertEqual(shell_reply(self.kc, msg_id)["content"]["ename"], "Interrupted")

    def test_interrupt_without_a_cell_does_nothing(self):
        self.km.interrupt_kernel()
        os.kill(self.km.provisioner.pid, signal.SIGINT)
        # A signal is not ordered with messages: it may hit the next cell, but only that.
        reply, _ = self.run_cell("3", stop_on_error=False)
        if reply["status"] != "ok":
            self.assertEqual(reply["ename"], "Interrupted")
        self.assertEqual(self.value("3"), "3")

    def test_an_endless_printer_is_interruptible(self):
        msg_id = self.kc.execute('for { fmt.Println("spam") }')
        wait_for_stream(self.kc, msg_id, "spam")
        self.interrupt(msg_id)

    def test_interrupt_aborts_the_queue(self):
        first = self.kc.execute('fmt.Println("on")\n' + ENDLESS)
        second = self.kc.execute("1")
        wait_for_stream(self.kc, first, "on")
        shell_request(self.kc, "is_complete_request", {"code": "1"})  # answered at once: both have arrived
        self.interrupt(first)
        self.assertEqual(shell_reply(self.kc, second)["content"]["status"], "aborted")


class Input(KernelCase):
    def ask(self, code, answer):
        msg_id = self.kc.execute(code, allow_stdin=True)
        request = self.kc.get_stdin_msg(timeout=TIMEOUT)
        self.assertEqual(request["msg_type"], "input_request")
        self.assertEqual(parent(request), msg_id)
        self.kc.input(answer)
        self.assertEqual(shell_reply(self.kc, msg_id)["content"]["status"], "ok")
        return request["content"], self.printed(iopub_until_idle(self.kc, msg_id))

    def test_input(self):
        request, printed = self.ask(SNIPPETS["ask"], "Gö 𝄞")
        self.assertEqual((request["prompt"], request["password"]), ("name? ", False))
        self.assertEqual(printed, "hello Gö 𝄞\n")

    def test_password(self):
        request, printed = self.ask(SNIPPETS["ask_password"], "12345")
        self.assertIs(request["password"], True)
        self.assertEqual(printed, "5\n")

    def test_without_allow_stdin_asking_is_an_error(self):
        reply, _ = self.run_cell(SNIPPETS["ask"], allow_stdin=False)
        self.assertEqual(reply["status"], "error")

    def test_a_waiting_question_can_be_interrupted(self):
        msg_id = self.kc.execute(SNIPPETS["ask"], allow_stdin=True)
        self.kc.get_stdin_msg(timeout=TIMEOUT)
        control_request(self.kc, "interrupt_request")
        self.assertEqual(shell_reply(self.kc, msg_id)["content"]["status"], "error")
        _, printed = self.ask(SNIPPETS["ask"], "again")
        self.assertEqual(printed, "hello again\n")


class Security(KernelCase):
    def dealer(self, port, identity=None):
        s = zmq.Context.instance().socket(zmq.DEALER)
        s.linger = 0
        s.identity = identity or uuid.uuid4().bytes.replace(b"\0", b"x")
        s.connect(f"tcp://{self.km.ip}:{port}")
        self.addCleanup(s.close)
        return s

    def frames(self, msg_type="kernel_info_request", content=None):
        session = self.kc.session
        return session.serialize(session.msg(msg_type, content or {}))

    def check_alive(self):
        self.assertEqual(self.value("1"), "1")

    def test_messages_that_are_not_signed_right_get_no_answer(self):
        good = self.frames("execute_request", {"code": 'os.Exit(3)'})
        at = good.index(b"<IDS|MSG>")
        forged = {}
        for name, signature in (("empty", b""), ("wrong", b"0" * 64), ("truncated", good[at + 1][:32]),
                                ("upper case", good[at + 1].upper()), ("not hex", b"\xff" * 64)):
            forged[name] = good[:at + 1] + [signature] + good[at + 2:]
        changed = list(good)
        changed[-1] = changed[-1].replace(b"3", b"4")
        forged["changed content"] = changed
        for port in (self.km.shell_port, self.km.control_port, self.km.stdin_port):
            s = self.dealer(port)
            for frames in forged.values():
                s.send_multipart(frames)
            self.assertEqual(s.poll(200), 0)
        self.check_alive()

    def test_a_replayed_message_gets_no_answer(self):
        frames = self.frames()
        s = self.dealer(self.km.shell_port)
        s.send_multipart(frames)
        self.assertTrue(s.poll(TIMEOUT * 1000))
        s.recv_multipart()
        s.send_multipart(frames)
        self.assertEqual(s.poll(200), 0)
        control = self.dealer(self.km.control_port)
        control.send_multipart(frames)
        self.assertEqual(control.poll(200), 0)

    def test_broken_messages_do_no_harm(self):
        session = self.kc.session
        header = session.pack(session.msg_header("execute_request"))

        def signed(*parts):
            return [b"<IDS|MSG>", session.sign(list(parts[:4])), *parts]
        s = self.dealer(self.km.shell_port)
        for frames in ([b""], [b"x"] * 20, [b"<IDS|MSG>"], [b"<IDS|MSG>", b"", b"{}"], signed(header, b"{}", b"{}"),
                       signed(header, b"{}", b"{}", b"{"), signed(header, b"{}", b"{}", b"[]"), signed(b"null", b"{}", b"{}", b"{}"),
                       signed(header, b"{}", b"{}", b'{"code":"\xff\xfe"}'), signed(header, b"{}", b"{}", b'{"code":"1","code":"2"}'),
                       signed(b"{}", b"{}", b"{}", b"{}"), signed(header, b"{}", b"{}", b"[" * 100000)):
            s.send_multipart(frames)
        self.assertEqual(s.poll(200), 0)
        self.check_alive()

    def test_content_of_wrong_types_is_an_error(self):
        for msg_type in ("execute_request", "complete_request", "inspect_request", "is_complete_request", "history_request"):
            reply = shell_request(self.kc, msg_type, {"code": 1, "hist_access_type": 5})
            self.assertEqual(reply["content"]["status"], "error", msg_type)
        self.check_alive()

    def test_fields_of_the_future_are_ignored(self):
        reply = shell_request(self.kc, "execute_request", {"code": "1", "telepathy": {"on": True}, "user_expressions": None})
        self.assertEqual(reply["content"]["status"], "ok")

    def test_a_frame_of_one_gibibyte_is_refused_before_it_comes(self):
        import socket
        with socket.create_connection((self.km.ip, self.km.shell_port)) as c:
            c.settimeout(TIMEOUT)
            c.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48))
            ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
            c.sendall(bytes([4, len(ready)]) + ready + b"\x02" + (1 << 30).to_bytes(8, "big") + b"x" * 1000)
            try:
                while c.recv(4096):
                    pass
            except ConnectionResetError:
                pass
        self.check_alive()

    def test_strangers_do_not_disturb(self):
        import socket
        for port in (self.km.shell_port, self.km.iopub_port, self.km.hb_port, self.km.control_port, self.km.stdin_port):
            with socket.create_connection((self.km.ip, port)) as c:
                c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.check_alive()

    def test_it_listens_only_where_it_was_told(self):
        import psutil
        conns = [c for c in psutil.Process(self.km.provisioner.pid).net_connections() if c.status == psutil.CONN_LISTEN]
        self.assertEqual({c.laddr.ip for c in conns}, {self.km.ip})
        self.assertEqual(len(conns), 5)

    def test_several_frames_may_precede_the_delimiter(self):
        s = self.dealer(self.km.shell_port)
        s.send_multipart([b"route", b"more"] + self.frames())
        self.assertTrue(s.poll(TIMEOUT * 1000))
        self.assertEqual(s.recv_multipart()[:2], [b"route", b"more"])


@unittest.skipUnless(BIN, "GODWIT_BIN does not name the kernel's binary")
class Refusals(unittest.TestCase):
    """A connection file that is not safe is refused with a reason."""

    def refused(self, reason, mode=0o600, **changes):
        info = {"transport": "tcp", "ip": "127.0.0.1", "shell_port": 1, "iopub_port": 2, "stdin_port": 3,
                "control_port": 4, "hb_port": 5, "key": "secret", "signature_scheme": "hmac-sha256"}
        info.update(changes)
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "c.json")
            with open(path, "w") as f:
                json.dump(info, f)
            os.chmod(path, mode)
            done = subprocess.run([BIN, "kernel", "run", "--connection-file", path], capture_output=True, text=True, timeout=TIMEOUT)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(reason, done.stderr)
        self.assertNotIn("goroutine", done.stderr)
        self.assertNotIn("secret", done.stderr)

    def test_refusals(self):
        self.refused("key is empty", key="")
        self.refused("not loopback", ip="0.0.0.0")
        self.refused("others may write", mode=0o666)
        self.refused("signature_scheme", signature_scheme="hmac-md5")
        self.refused("transport", transport="carrier-pigeon")
        self.refused("shell_port", shell_port=0)
        self.refused("CURVE", curve_publickey="x")


class Front(KernelCase):
    """Front ends that come, go, stall or are many."""

    def test_200_reconnects_leave_no_file_descriptor(self):
        import psutil
        kernel = psutil.Process(self.km.provisioner.pid)
        before = kernel.num_fds()
        self.reconnect(200)
        deadline = time.time() + TIMEOUT
        while kernel.num_fds() > before and time.time() < deadline:
            time.sleep(0.05)
        self.assertLessEqual(kernel.num_fds(), before)

    def reconnect(self, times):
        url = f"tcp://{self.km.ip}:{self.km.shell_port}"
        for _ in range(times):
            with zmq.Context() as own:  # its end waits for that of the socket, which else could connect again when it is replaced
                s = own.socket(zmq.DEALER)
                s.linger = 0
                s.identity = b"returning"
                s.rcvtimeo = TIMEOUT * 1000
                s.connect(url)
                s.send_multipart(self.kc.session.serialize(self.kc.session.msg("kernel_info_request")))
                self.assertIn(b"<IDS|MSG>", s.recv_multipart())
                s.close()

    def test_a_second_front_end_sees_the_output(self):
        other = another_client(self.km)
        msg_id = self.kc.execute('fmt.Println("for both")')
        wait_for_stream(other, msg_id, "for both")
        iopub_until_idle(self.kc, msg_id)
        other.stop_channels()

    def test_a_stalled_subscriber_costs_others_nothing(self):
        stalled = zmq.Context.instance().socket(zmq.SUB)
        stalled.rcvhwm = 1
        stalled.rcvbuf = 4096
        stalled.linger = 0
        stalled.connect(f"tcp://{self.km.ip}:{self.km.iopub_port}")
        stalled.subscribe(b"")
        stalled.recv_multipart()
        msgs = self.ok('line := strings.Repeat("y", 99999) + "\\n"\nfor i := 0; i < 1500; i++ { fmt.Print(line) }', timeout=600)
        self.assertEqual(sum(len(m["content"]["text"]) for m in msgs if m["msg_type"] == "stream"), 150_000_000)
        stalled.close()

    def test_welcome_names_the_subscription(self):
        sub = zmq.Context.instance().socket(zmq.SUB)
        sub.linger = 0
        sub.rcvtimeo = TIMEOUT * 1000
        sub.connect(f"tcp://{self.km.ip}:{self.km.iopub_port}")
        sub.subscribe(b"only this")
        topic, *rest = sub.recv_multipart()
        msg = self.kc.session.deserialize(self.kc.session.feed_identities(rest)[1])
        self.assertEqual((topic, msg["msg_type"], msg["content"]), (b"only this", "iopub_welcome", {"subscription": "only this"}))
        sub.close()


@unittest.skipUnless(BIN, "GODWIT_BIN does not name the kernel's binary")
class Life(unittest.TestCase):
    """Start, restart and end."""

    def test_shutdown_replies_tells_all_and_exits_cleanly(self):
        km, kc = start()
        pid = km.provisioner.process
        reply, _ = control_request(kc, "shutdown_request", {"restart": False})
        self.assertEqual((reply["msg_type"], reply["content"]), ("shutdown_reply", {"status": "ok", "restart": False}))
        told = False
        while not told:
            told = kc.get_iopub_msg(timeout=TIMEOUT)["msg_type"] == "shutdown_reply"
        self.assertEqual(pid.wait(TIMEOUT), 0)
        kc.stop_channels()
        km.cleanup_resources()

    def test_shutdown_during_an_endless_cell(self):
        km, kc = start()
        msg_id = kc.execute('fmt.Println("on")\n' + ENDLESS)
        wait_for_stream(kc, msg_id, "on")
        process = km.provisioner.process
        control_request(kc, "shutdown_request", {"restart": False})
        self.assertEqual(process.wait(TIMEOUT), 0)
        kc.stop_channels()
        km.cleanup_resources()

    def test_restart_gives_a_fresh_kernel(self):
        km, kc = start()
        msg_id = kc.execute("gone := 1")
        first = shell_reply(kc, msg_id)["header"]["session"]
        km.restart_kernel()
        kc.wait_for_ready(timeout=TIMEOUT)
        reply = shell_reply(kc, kc.execute("gone"))
        self.assertEqual(reply["content"]["status"], "error")
        self.assertEqual(reply["content"]["execution_count"], 1)
        self.assertNotEqual(reply["header"]["session"], first)
        stop(km, kc)

    def test_sigterm_is_an_orderly_end(self):
        km, kc = start()
        process = km.provisioner.process
        process.terminate()
        self.assertEqual(process.wait(TIMEOUT), 0)
        stop(km, kc)

    def test_ipc_transport(self):
        km, kc = start(transport="ipc")
        self.assertEqual(shell_reply(kc, kc.execute("1"))["content"]["status"], "ok")
        stop(km, kc)

    def test_curve_encryption(self):
        if not zmq.has("curve"):
            self.skipTest("this libzmq has no CURVE")
        for transport in ("tcp", "ipc"):
            with self.subTest(transport):
                km, kc = start(transport=transport, transport_encryption="required")
                self.assertIsNotNone(km.curve_publickey)
                self.assertEqual(shell_reply(kc, kc.execute("1"))["content"]["status"], "ok")
                s = zmq.Context.instance().socket(zmq.DEALER)
                s.linger = 0
                s.connect(f"tcp://{km.ip}:{km.shell_port}" if transport == "tcp" else f"ipc://{km.ip}-{km.shell_port}")
                try:
                    s.send_multipart(kc.session.serialize(kc.session.msg("kernel_info_request")), zmq.NOBLOCK)
                except zmq.Again:
                    pass  # libzmq gives the connection up as soon as it is refused; then nothing can be sent
                self.assertEqual(s.poll(300), 0, "an unencrypted client was answered")
                s.close()
                stop(km, kc)

    def test_it_ends_with_its_parent(self):
        km, kc = start()
        info = km.get_connection_info()
        stop(km, kc)
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "c.json")
            with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
                info["key"] = info["key"].decode()
                json.dump(info, f)
            # A shell starts the kernel, tells its id, and is gone.
            script = 'JPY_PARENT_PID=$$ "$0" kernel run --connection-file "$1" >/dev/null 2>&1 & echo $!; sleep 1.5'
            done = subprocess.run(["sh", "-c", script, BIN, path], capture_output=True, text=True, timeout=TIMEOUT)
            pid = int(done.stdout)
            for _ in range(600):
                try:
                    with open(f"/proc/{pid}/stat") as f:
                        if f.read().rsplit(")", 1)[1].split()[0] == "Z":
                            return
                except OSError:
                    return
                time.sleep(0.1)
            os.kill(pid, signal.SIGKILL)
            self.fail("the kernel outlived its parent")


if __name__ == "__main__":
    unittest.main()

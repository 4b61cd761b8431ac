"""Subshells (JEP 91), and what is answered while a cell runs."""
import os
import unittest

from kernelcase import (TIMEOUT, Gate, KernelCase, SNIPPETS, control_request, iopub_of, iopub_until_idle, parent,
                        send_shell, shell_reply, shell_request, wait_for_stream)

ENDLESS = "for { time.Sleep(time.Millisecond) }"


class Subshells(KernelCase):
    def create(self):
        reply, _ = control_request(self.kc, "create_subshell_request")
        self.assertEqual(reply["msg_type"], "create_subshell_reply")
        self.assertEqual(reply["content"]["status"], "ok")
        return reply["content"]["subshell_id"]

    def delete(self, subshell):
        return control_request(self.kc, "delete_subshell_request", {"subshell_id": subshell})[0]["content"]

    def list(self):
        return control_request(self.kc, "list_subshell_request")[0]["content"]

    def sub(self, subshell, code, **content):
        return send_shell(self.kc, "execute_request", {"code": code, **content}, subshell)

    def reply(self, msg_id):
        return shell_reply(self.kc, msg_id)["content"]

    def test_create_list_and_delete(self):
        self.assertEqual(self.list(), {"status": "ok", "subshell_id": []})
        a, b = self.create(), self.create()
        self.assertNotEqual(a, b)
        self.assertEqual(self.list()["subshell_id"], [a, b])
        self.assertEqual(self.delete(a), {"status": "ok"})
        self.assertEqual(self.list()["subshell_id"], [b])
        self.assertEqual(self.delete(b), {"status": "ok"})

    def test_deleting_an_unknown_subshell_is_an_error(self):
        content = self.delete("no such")
        self.assertEqual(content["status"], "error")
        self.assertIn("no such", content["evalue"])

    def test_a_request_to_an_unknown_subshell_is_busy_error_idle(self):
        msg_id = self.sub("no such", "1")
        self.assertEqual(self.reply(msg_id)["status"], "error")
        self.assertEqual({m["msg_type"] for m in iopub_until_idle(self.kc, msg_id)}, {"status"})

    def test_a_subshell_runs_while_the_main_shell_is_busy(self):
        subshell = self.create()
        main, gate = self.busy()
        msg_id = self.sub(subshell, 'fmt.Println("beside"); 6 * 7')
        self.assertEqual(self.reply(msg_id)["status"], "ok")
        msgs = iopub_until_idle(self.kc, msg_id)
        self.assertEqual(self.printed(msgs), "beside\n")
        self.assertEqual(msgs[-1]["content"]["data"]["text/plain"], "42")
        self.assertEqual({m["parent_header"]["subshell_id"] for m in msgs}, {subshell})
        self.finish(main, gate)
        self.delete(subshell)

    def test_the_main_shell_runs_while_a_subshell_is_busy(self):
        subshell = self.create()
        gate = Gate()
        msg_id = self.sub(subshell, gate.code)
        self.assertEqual(self.value("1 + 2"), "3")
        gate.open()
        self.assertEqual(self.reply(msg_id)["status"], "ok")
        self.delete(subshell)

    def test_requests_of_one_subshell_keep_their_order(self):
        subshell = self.create()
        ids = [self.sub(subshell, f"order := {i}\norder") for i in range(5)]
        self.assertEqual([parent(self.kc.get_shell_msg(timeout=TIMEOUT)) for _ in ids], ids)
        self.delete(subshell)

    def test_shells_share_variables_and_functions(self):
        subshell = self.create()
        self.ok("shared := 20")
        self.assertEqual(self.reply(self.sub(subshell, "shared++\nfunc double(n int) int { return 2 * n }"))["status"], "ok")
        self.assertEqual(self.value("double(shared)"), "42")
        self.delete(subshell)

    def test_each_shell_counts_for_itself(self):
        before = self.run_cell("1")[0]["execution_count"]
        subshell = self.create()
        self.assertEqual([self.reply(self.sub(subshell, "1"))["execution_count"] for _ in range(3)], [1, 2, 3])
        self.assertEqual(self.run_cell("1")[0]["execution_count"], before + 1)
        self.delete(subshell)

    def test_each_shell_has_its_own_history(self):
        subshell = self.create()
        self.ok('"in the main shell"')
        self.reply(self.sub(subshell, '"in the subshell"'))
        ask = {"hist_access_type": "range", "session": 0, "start": 0, "output": False, "raw": True}
        own = shell_request(self.kc, "history_request", ask, subshell=subshell)["content"]["history"]
        self.assertEqual([h[1:] for h in own], [[1, '"in the subshell"']])
        main = shell_request(self.kc, "history_request", ask)["content"]["history"]
        self.assertIn('"in the main shell"', [h[2] for h in main])
        self.assertNotIn('"in the subshell"', [h[2] for h in main])
        self.delete(subshell)

    def test_null_names_the_main_shell(self):
        before = self.run_cell("1")[0]["execution_count"]
        msg = self.kc.session.msg("execute_request", {"code": "1"})
        msg["header"]["subshell_id"] = None
        self.kc.shell_channel.send(msg)
        self.assertEqual(self.reply(msg["header"]["msg_id"])["execution_count"], before + 1)

    def test_an_interrupt_ends_the_cells_of_all_shells(self):
        subshell = self.create()
        main = self.kc.execute('fmt.Println("on")\n' + ENDLESS)
        wait_for_stream(self.kc, main, "on")
        sub = self.sub(subshell, 'fmt.Println("on")\n' + ENDLESS)
        wait_for_stream(self.kc, sub, "on")
        control_request(self.kc, "interrupt_request")
        got = {parent(m): m["content"]["ename"] for m in (self.kc.get_shell_msg(timeout=TIMEOUT) for _ in range(2))}
        self.assertEqual(got, {main: "Interrupted", sub: "Interrupted"})
        self.delete(subshell)

    def test_deleting_a_busy_subshell_ends_its_cell_and_aborts_its_queue(self):
        subshell = self.create()
        first = self.sub(subshell, 'fmt.Println("on")\n' + ENDLESS)
        second = self.sub(subshell, "1")
        wait_for_stream(self.kc, first, "on")
        shell_request(self.kc, "is_complete_request", {"code": "1"}, subshell=subshell)
        self.assertEqual(self.delete(subshell)["status"], "ok")
        self.assertEqual(self.reply(first)["status"], "error")
        self.assertEqual(self.reply(second)["status"], "aborted")
        self.assertEqual(self.value("1"), "1")

    def test_a_failure_in_a_subshell_aborts_nothing_elsewhere(self):
        subshell = self.create()
        main, gate = self.busy()
        queued = self.kc.execute("5")
        failing = self.sub(subshell, 'panic("here only")')
        self.assertEqual(self.reply(failing)["status"], "error")
        gate.open()
        self.assertEqual(self.reply(main)["status"], "ok")
        self.assertEqual(self.reply(queued)["status"], "ok")
        self.delete(subshell)

    def test_shells_ask_for_input_independently(self):
        subshell = self.create()
        main = self.kc.execute(SNIPPETS["ask"], allow_stdin=True)
        first = self.kc.get_stdin_msg(timeout=TIMEOUT)
        sub = self.sub(subshell, SNIPPETS["ask"].replace("answer", "other"), allow_stdin=True)
        second = self.kc.get_stdin_msg(timeout=TIMEOUT)
        self.assertEqual((parent(first), parent(second)), (main, sub))
        for request, value in ((second, "sub"), (first, "main")):
            answer = self.kc.session.msg("input_reply", {"value": value}, parent=request)
            self.kc.stdin_channel.send(answer)
            msg_id = parent(request)
            self.assertEqual(self.reply(msg_id)["status"], "ok")
            wait_for_stream(self.kc, msg_id, "hello " + value)
        self.delete(subshell)

    def test_ten_subshells_run_together(self):
        ids = [self.create() for _ in range(10)]
        gate = Gate()
        waiting = [self.sub(s, f'fmt.Println("on")\n{gate.code}\n{i} * 100') for i, s in enumerate(ids)]
        seen = set()
        while len(seen) < len(waiting):
            seen.add(parent(iopub_of(self.kc, "stream")))
        gate.open()
        replies = {parent(m): m["content"]["status"] for m in (self.kc.get_shell_msg(timeout=TIMEOUT) for _ in waiting)}
        self.assertEqual(replies, {w: "ok" for w in waiting})
        for s in ids:
            self.delete(s)

    def test_the_traceback_names_the_subshells_cell(self):
        subshell = self.create()
        reply = self.reply(self.sub(subshell, "x1 := []int{}\nx1[3] = 1"))
        self.assertIn("index out of range", reply["evalue"])
        self.assertIn("subshell", "\n".join(reply["traceback"]))
        self.delete(subshell)

    def test_restart_forgets_subshells(self):
        self.create()
        self.km.restart_kernel()
        self.kc.wait_for_ready(timeout=TIMEOUT)
        self.assertEqual(self.list()["subshell_id"], [])


class WhileACellRuns(KernelCase):
    """Requests that do not wait for the running cell."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls("run_cell")
        case.ok("earlier := map[int]string{1: \"one\"}\nfunc helper(n int) string { return earlier[n] }")
        cls.cell, cls.gate = case.busy("for i := 0; i < 1000; i++ { earlier[i] = fmt.Sprint(i) }")

    @classmethod
    def tearDownClass(cls):
        cls.gate.open()
        super().tearDownClass()

    def test_completion(self):
        reply = shell_request(self.kc, "complete_request", {"code": "strings.TrimSp", "cursor_pos": 14})["content"]
        self.assertEqual(reply["matches"], ["TrimSpace"])

    def test_completion_of_names_of_earlier_cells(self):
        for code, match in (("earl", "earlier"), ("help", "helper")):
            reply = shell_request(self.kc, "complete_request", {"code": code, "cursor_pos": len(code)})["content"]
            self.assertIn(match, reply["matches"])

    def test_inspection(self):
        reply = shell_request(self.kc, "inspect_request", {"code": "helper", "cursor_pos": 3, "detail_level": 0})["content"]
        self.assertIn("func helper(n int) string", reply["data"]["text/plain"])

    def test_inspection_of_a_map_that_the_cell_may_be_writing(self):
        for _ in range(20):
            reply = shell_request(self.kc, "inspect_request", {"code": "earlier", "cursor_pos": 3, "detail_level": 0})["content"]
            self.assertIn("map[int]string", reply["data"]["text/plain"])

    def test_is_complete(self):
        reply = shell_request(self.kc, "is_complete_request", {"code": "for {"})["content"]
        self.assertEqual(reply["status"], "incomplete")

    def test_kernel_info_and_comm_info(self):
        self.assertEqual(shell_request(self.kc, "kernel_info_request")["content"]["implementation"], "godwit")
        self.assertEqual(shell_request(self.kc, "comm_info_request")["content"]["status"], "ok")

    def test_the_cells_busy_follows_the_idle_of_what_was_answered_beside_it(self):
        msg_id = send_shell(self.kc, "is_complete_request", {"code": "1"})
        shell_reply(self.kc, msg_id)
        iopub_until_idle(self.kc, msg_id)
        status = iopub_of(self.kc, "status", self.cell)
        self.assertEqual(status["content"]["execution_state"], "busy")

    def test_usage(self):
        import psutil
        reply, _ = control_request(self.kc, "usage_request")
        content = reply["content"]
        self.assertEqual(reply["msg_type"], "usage_reply")
        self.assertEqual(content["pid"], self.km.provisioner.pid)
        self.assertIn(content["cpu_count"], (os.cpu_count(), len(os.sched_getaffinity(0))))
        self.assertGreaterEqual(content["kernel_cpu"], 0)
        rss = psutil.Process(content["pid"]).memory_info().rss
        self.assertGreater(content["kernel_memory"], rss / 10)
        self.assertLess(content["kernel_memory"], rss * 3)
        memory = content["host_virtual_memory"]
        self.assertEqual(memory["total"], psutil.virtual_memory().total)
        self.assertGreater(memory["available"], 0)
        self.assertTrue(0 < memory["percent"] < 100)
        for gpu in content["gpu_memory"]:
            self.assertLessEqual(gpu["memory_used"], gpu["memory_total"])

    def test_usage_counts_what_was_used_since_the_last_time(self):
        for _ in range(2):
            content = control_request(self.kc, "usage_request")[0]["content"]
            self.assertTrue(0 <= content["kernel_cpu"] < 100 * 2 * os.cpu_count(), content)


if __name__ == "__main__":
    unittest.main()

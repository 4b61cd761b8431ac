"""Comms: both sides open, send and close; buffers; functions and channels in cells."""
import unittest
import uuid

from kernelcase import (KernelCase, control_request, iopub_of, iopub_until_idle, parent, send_shell, shell_reply, shell_request)

ECHO = '''
comm.Handle("TARGET", func(c *comm.Comm, opened comm.Message) {
    c.OnMessage(func(m comm.Message) { c.Send(m.Data, m.Buffers...) })
    c.OnClose(func(m comm.Message) { fmt.Println("closed", m.Data) })
    c.Send(map[string]any{"opened": opened.Data})
})
'''


class Comms(KernelCase):
    def post(self, msg_type, comm_id, buffers=None, **content):
        """Sends a comm message with buffers and returns its id."""
        msg = self.kc.session.send(self.kc.shell_channel.socket, msg_type, {"comm_id": comm_id, **content}, buffers=buffers)
        return msg["header"]["msg_id"]

    def open_echo(self, data=None):
        target, comm_id = uuid.uuid4().hex, uuid.uuid4().hex
        self.ok(ECHO.replace("TARGET", target))
        msg_id = self.post("comm_open", comm_id, target_name=target, data=data or {})
        return target, comm_id, msg_id

    def info(self, **content):
        return shell_request(self.kc, "comm_info_request", content)["content"]["comms"]

    def test_an_unknown_target_is_closed_at_once(self):
        msg_id = self.post("comm_open", "c", target_name="nobody", data={})
        msgs = iopub_until_idle(self.kc, msg_id)
        self.assertEqual([m["msg_type"] for m in msgs], ["status", "comm_close"])
        self.assertEqual(msgs[-1]["content"]["comm_id"], "c")
        self.assertNotIn("c", self.info())

    def test_a_cell_handles_a_target(self):
        _, comm_id, msg_id = self.open_echo({"a": [1, None, "ä"]})
        answer = iopub_of(self.kc, "comm_msg", msg_id)
        self.assertEqual(answer["content"], {"comm_id": comm_id, "data": {"opened": {"a": [1, None, "ä"]}}})

    def test_messages_carry_buffers_both_ways(self):
        _, comm_id, _ = self.open_echo()
        buffers = [b"", bytes(range(256)), b"x" * (1 << 20)]
        msg_id = self.post("comm_msg", comm_id, data={"n": 1}, buffers=buffers)
        answer = iopub_of(self.kc, "comm_msg", msg_id)
        self.assertEqual(answer["content"]["data"], {"n": 1})
        self.assertEqual([bytes(b) for b in answer["buffers"]], buffers)

    def test_a_buffer_of_64_megabytes(self):
        _, comm_id, _ = self.open_echo()
        big = bytes(64 << 20)
        answer = iopub_of(self.kc, "comm_msg", self.post("comm_msg", comm_id, data={}, buffers=[big]))
        self.assertEqual(len(answer["buffers"][0]), len(big))

    def test_all_kinds_of_json_travel(self):
        _, comm_id, _ = self.open_echo()
        for data in (True, 1.5, -3, "text 𝄞", [], {}, {"deep": [{"er": [[]]}]}):
            answer = iopub_of(self.kc, "comm_msg", self.post("comm_msg", comm_id, data=data))
            self.assertEqual(answer["content"]["data"], data)

    def test_comm_info_lists_open_comms_by_target(self):
        target, comm_id, _ = self.open_echo()
        self.assertEqual(self.info(target_name=target), {comm_id: {"target_name": target}})
        self.assertEqual(self.info(target_name="other"), {})
        self.assertIn(comm_id, self.info())

    def test_the_front_end_closes(self):
        _, comm_id, _ = self.open_echo()
        msgs = iopub_until_idle(self.kc, self.post("comm_close", comm_id, data={"why": "done"}))
        self.assertEqual(self.printed(msgs), "closed map[why:done]\n")
        self.assertNotIn(comm_id, self.info())
        self.assertEqual(self.types(iopub_until_idle(self.kc, self.post("comm_msg", comm_id, data={}))), [])

    def test_a_cell_opens_sends_and_closes(self):
        msgs = self.ok('''c, err := comm.Open("front", map[string]int{"n": 3}, []byte{1, 2})
if err != nil { panic(err) }
fmt.Println("between")
c.Send([]string{"a"}, []byte("b"))
c.Close(nil)
fmt.Println(c.Send(1) == comm.ErrClosed)''')
        self.assertEqual(self.types(msgs), ["execute_input", "comm_open", "stream", "comm_msg", "comm_close", "stream"])
        opened, sent, closed = [m for m in msgs if m["msg_type"].startswith("comm_")]
        self.assertEqual((opened["content"]["target_name"], opened["content"]["data"]), ("front", {"n": 3}))
        self.assertEqual(bytes(opened["buffers"][0]), b"\1\2")
        self.assertEqual((sent["content"]["data"], bytes(sent["buffers"][0])), (["a"], b"b"))
        self.assertEqual({m["content"]["comm_id"] for m in (opened, sent, closed)}, {opened["content"]["comm_id"]})
        self.assertEqual(self.printed(msgs), "between\ntrue\n")
        self.assertNotIn(opened["content"]["comm_id"], self.info())

    def test_the_front_end_answers_a_comm_that_a_cell_opened(self):
        msgs = self.ok('c2, _ := comm.Open("front", nil)\nc2.OnMessage(func(m comm.Message) { fmt.Println("got", m.Data, len(m.Buffers)) })')
        comm_id = [m for m in msgs if m["msg_type"] == "comm_open"][0]["content"]["comm_id"]
        msgs = iopub_until_idle(self.kc, self.post("comm_msg", comm_id, data="hello", buffers=[b"1", b"2"]))
        self.assertEqual(self.printed(msgs), "got hello 2\n")

    def test_messages_are_decoded_into_structs(self):
        self.ok('''type Point struct { X, Y int }
comm.Handle("point", func(c *comm.Comm, m comm.Message) {
    var p struct{ X, Y int }
    if err := m.Decode(&p); err != nil { panic(err) }
    fmt.Println(p.X + p.Y)
})''')
        msgs = iopub_until_idle(self.kc, self.post("comm_open", uuid.uuid4().hex, target_name="point", data={"X": 40, "Y": 2}))
        self.assertEqual(self.printed(msgs), "42\n")

    def test_a_handler_changes_variables_of_cells(self):
        self.ok('total := 0\ncomm.Handle("adder", func(c *comm.Comm, m comm.Message) { total += int(m.Data.(float64)) })')
        for n in (40, 2):
            iopub_until_idle(self.kc, self.post("comm_open", uuid.uuid4().hex, target_name="adder", data=n))
        self.assertEqual(self.value("total"), "42")

    def test_a_handler_that_panics_harms_nothing(self):
        self.ok('comm.Handle("bad", func(c *comm.Comm, m comm.Message) { panic("refused") })')
        comm_id = uuid.uuid4().hex
        msgs = iopub_until_idle(self.kc, self.post("comm_open", comm_id, target_name="bad", data={}))
        self.assertIn("refused", self.printed(msgs, "stderr"))
        self.assertIn("comm_close", self.types(msgs))
        self.assertNotIn(comm_id, self.info())
        self.assertEqual(self.value("1"), "1")

    def test_messages_wait_for_the_running_cell(self):
        _, comm_id, _ = self.open_echo()
        cell, gate = self.busy()
        msg_id = self.post("comm_msg", comm_id, data=1)
        shell_request(self.kc, "is_complete_request", {"code": "1"})
        gate.open()
        order = []
        while len(order) < 2:
            msg = self.kc.get_iopub_msg(timeout=60)
            if msg["msg_type"] == "comm_msg" and parent(msg) == msg_id:
                order.append("message")
            if msg["msg_type"] == "status" and parent(msg) == cell and msg["content"]["execution_state"] == "idle":
                order.append("idle")
        self.assertEqual(order, ["idle", "message"])
        shell_reply(self.kc, cell)

    def test_a_subshell_handles_messages_while_the_main_shell_is_busy(self):
        _, comm_id, _ = self.open_echo()
        subshell = control_request(self.kc, "create_subshell_request")[0]["content"]["subshell_id"]
        cell, gate = self.busy()
        msg_id = send_shell(self.kc, "comm_msg", {"comm_id": comm_id, "data": "beside"}, subshell)
        self.assertEqual(iopub_of(self.kc, "comm_msg", msg_id)["content"]["data"], "beside")
        self.finish(cell, gate)
        control_request(self.kc, "delete_subshell_request", {"subshell_id": subshell})

    def test_a_cell_waits_for_messages_on_a_channel(self):
        cell = self.kc.execute('''c3, _ := comm.Open("chan", nil)
sum := 0.0
for m := range c3.Messages() {
    if m.Data == nil { break }
    sum += m.Data.(float64)
}
sum''')
        comm_id = iopub_of(self.kc, "comm_open", cell)["content"]["comm_id"]
        for n in (40, 2, None):
            self.post("comm_msg", comm_id, data=n)
        self.assertEqual(iopub_of(self.kc, "execute_result", cell)["content"]["data"]["text/plain"], "42")
        shell_reply(self.kc, cell)
        # Between cells messages wait in the channel.
        self.post("comm_msg", comm_id, data=7)
        self.assertEqual(self.value("(<-c3.Messages()).Data"), "7")

    def test_a_wait_for_a_message_can_be_interrupted(self):
        cell = self.kc.execute('c4, _ := comm.Open("chan", nil)\nwait := c4.Messages()\nfmt.Println((<-wait).Data)')
        comm_id = iopub_of(self.kc, "comm_open", cell)["content"]["comm_id"]
        control_request(self.kc, "interrupt_request")
        self.assertEqual(shell_reply(self.kc, cell)["content"]["ename"], "Interrupted")
        self.post("comm_msg", comm_id, data="later")
        self.assertEqual(self.value("(<-wait).Data"), "later")

    def test_malformed_comm_messages_do_no_harm(self):
        for content in ({}, {"comm_id": 3}, {"comm_id": "", "target_name": "x"}, {"comm_id": "x", "target_name": ["y"]}):
            for msg_type in ("comm_open", "comm_msg", "comm_close"):
                msg_id = send_shell(self.kc, msg_type, content)
                self.assertEqual([t for t in self.types(iopub_until_idle(self.kc, msg_id)) if t != "comm_close"], [])
        self.assertEqual(self.value("1"), "1")


if __name__ == "__main__":
    unittest.main()

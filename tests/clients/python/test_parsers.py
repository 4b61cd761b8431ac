"""Thinking and tool calls, as the official client and its helpers read them."""

import json
import unittest

import openai

from client import FakeServer, client

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ASK = [{"role": "user", "content": "How is the weather in Paris and in Rome?"}]

REPLIES = {
    ("qwen3", "qwen25"): '<think>\nTwo calls.\n</think>\n\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>',
    ("deepseek-r1", "deepseekv3"): "Two calls.</think>\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n"
    '{"city": "Paris"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Rome"}\n```'
    "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    ("kimi_k2", "kimi_k2"): "Two calls.</think><|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
    '{"city": "Paris"}<|tool_call_end|><|tool_call_begin|>functions.get_weather:1<|tool_call_argument_begin|>{"city": "Rome"}<|tool_call_end|>'
    "<|tool_calls_section_end|>",
    ("glm45", "glm45"): "<think>Two calls.</think>\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n</tool_call>\n"
    "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n</tool_call>",
    ("qwen3-thinking", "qwen3_coder"): "Two calls.</think>\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>\n"
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>",
    ("gpt-oss", "gpt-oss"): "<|channel|>analysis<|message|>Two calls.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather "
    '<|constrain|>json<|message|>{"city": "Paris"}<|call|><|start|>assistant to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Rome"}',
}


class Parsers(unittest.TestCase):
    def check(self, message, finish, reasoning, matched_stop):
        self.assertEqual(reasoning, "Two calls.")
        self.assertIsNone(message.content or None)
        self.assertEqual(finish, "tool_calls")
        self.assertIsNone(matched_stop)
        self.assertEqual([json.loads(c.function.arguments)["city"] for c in message.tool_calls], ["Paris", "Rome"])
        self.assertEqual({c.function.name for c in message.tool_calls}, {"get_weather"})
        self.assertEqual(len({c.id for c in message.tool_calls}), 2)

    def test_thinking_and_parallel_calls_of_every_family(self):
        for (reasoning, calls), reply in REPLIES.items():
            with (
                self.subTest(reasoning=reasoning, calls=calls),
                FakeServer("-reasoning-parser", reasoning, "-tool-call-parser", calls, "-reply", reply, "-token-delay", "0s") as server,
                client(base_url=server.base_url) as api,
            ):
                ask = dict(model="default", messages=ASK, tools=[WEATHER])
                whole = api.chat.completions.create(**ask)
                choice = whole.choices[0]
                self.assertIsNone(choice.message.content)
                self.check(choice.message, choice.finish_reason, choice.message.reasoning_content, choice.matched_stop)
                self.assertGreater(whole.usage.reasoning_tokens, 0)

                with api.chat.completions.stream(**ask, stream_options={"include_usage": True}) as stream:
                    done = [e for e in stream if e.type == "tool_calls.function.arguments.done"]
                    final = stream.get_final_completion()
                choice = final.choices[0]
                self.check(choice.message, choice.finish_reason, choice.message.reasoning_content, choice.matched_stop)
                self.assertEqual([e.parsed_arguments or json.loads(e.arguments) for e in done], [{"city": "Paris"}, {"city": "Rome"}])
                self.assertEqual(final.usage.reasoning_tokens, whole.usage.reasoning_tokens)

    def test_the_result_of_a_tool_goes_back(self):
        with (
            FakeServer("-tool-call-parser", "qwen25", "-reply", REPLIES["qwen3", "qwen25"].split("</think>")[1]) as server,
            client(base_url=server.base_url) as api,
        ):
            first = api.chat.completions.create(model="default", messages=ASK, tools=[WEATHER]).choices[0].message
            results = [{"role": "tool", "tool_call_id": c.id, "content": "sun"} for c in first.tool_calls]
            second = api.chat.completions.create(model="default", messages=[*ASK, first, *results], tools=[WEATHER])
            self.assertEqual(second.choices[0].message.content, "The tool says sun.")
            self.assertEqual(second.choices[0].finish_reason, "stop")

    def test_the_tutorials_qwen3_cell(self):
        with FakeServer("-reasoning-parser", "qwen3", "-reply", "<think>\nr, r, r.\n</think>\n\nThree.") as server, client(base_url=server.base_url) as api:
            ask = dict(model="default", messages=[{"role": "user", "content": "How many r's are in 'strawberry'?"}])
            answer = api.chat.completions.create(**ask, extra_body={"chat_template_kwargs": {"enable_thinking": True}, "separate_reasoning": True})
            self.assertEqual(answer.choices[0].message.reasoning_content, "r, r, r.")
            self.assertEqual(answer.choices[0].message.content, "Three.")
            raw = api.chat.completions.create(**ask, extra_body={"separate_reasoning": False})
            self.assertEqual(raw.choices[0].message.content, "<think>\nr, r, r.\n</think>\n\nThree.")
            self.assertIsNone(raw.choices[0].message.reasoning_content)
            pieces = []
            for chunk in api.chat.completions.create(**ask, stream=True, extra_body={"stream_reasoning": False}):
                if chunk.choices[0].delta.reasoning_content:
                    pieces.append(chunk.choices[0].delta.reasoning_content)
            self.assertEqual(pieces, ["r, r, r."])

    def test_forcing_a_tool_that_is_not_there_is_refused(self):
        with FakeServer("-tool-call-parser", "qwen25") as server, client(base_url=server.base_url) as api:
            with self.assertRaises(openai.APIStatusError) as caught:
                api.chat.completions.create(model="default", messages=ASK, tools=[WEATHER],
                                            tool_choice={"type": "function", "function": {"name": "x"}})
            self.assertEqual(caught.exception.status_code, 400)
            self.assertEqual(caught.exception.body["param"], "tool_choice")


if __name__ == "__main__":
    unittest.main()

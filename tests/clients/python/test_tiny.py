"""Thinking and adapters with a real model that godwit brings along, builtin:tiny."""

import json

import openai

from client import Godwit, ServerTest, client

ROME = [{"role": "user", "content": "What is the capital of Italy?"}]
THINK = {"chat_template_kwargs": {"enable_thinking": True}}


class Tiny(ServerTest):
    @classmethod
    def setUpClass(cls):
        cls.server = Godwit("--model-path", "builtin:tiny", "--reasoning-parser", "auto", "--enable-lora",
                            "--lora-paths", "adapter_a=builtin:tiny-upper", "adapter_b=builtin:tiny-json")
        cls.addClassCleanup(cls.server.stop)
        cls.client = client(base_url=cls.server.base_url)

    def ask(self, **more):
        fields = {"model": "builtin:tiny", "messages": ROME, "temperature": 0, "max_tokens": 100, **more}
        return self.client.chat.completions.create(**fields)

    def test_thinking_is_apart(self):
        r = self.ask(extra_body={**THINK, "separate_reasoning": True})
        message = r.choices[0].message
        self.assertIn("Rome", message.reasoning_content)
        self.assertIn("Rome", message.content)
        self.assertNotIn("think>", message.content + message.reasoning_content)
        self.assertEqual(r.choices[0].finish_reason, "stop")
        self.assertGreater(r.usage.reasoning_tokens, 0)
        self.assertLess(r.usage.reasoning_tokens, r.usage.completion_tokens)

        thinking = content = ""
        for chunk in self.ask(stream=True, extra_body=THINK):
            delta = chunk.choices[0].delta
            self.assertFalse(content and getattr(delta, "reasoning_content", None), "thinking behind the answer")
            thinking += getattr(delta, "reasoning_content", None) or ""
            content += delta.content or ""
        self.assertEqual((thinking, content), (message.reasoning_content, message.content))

    def test_thinking_is_off_or_left_in_the_text(self):
        off = self.ask(extra_body={"chat_template_kwargs": {"enable_thinking": False}})
        self.assertIsNone(off.choices[0].message.reasoning_content)
        self.assertIn("Rome", off.choices[0].message.content)
        self.assertEqual(off.usage.reasoning_tokens, 0)
        inside = self.ask(extra_body={**THINK, "separate_reasoning": False}).choices[0].message
        self.assertIsNone(inside.reasoning_content)
        self.assertRegex(inside.content, r"(?s)^<think>.*Rome.*</think>.*Rome")

    def test_two_adapters_and_the_model_answer_together(self):
        said = {}
        with openai.OpenAI(base_url=self.server.base_url, api_key="None") as api:
            streams = {
                name: api.chat.completions.create(model=f"builtin:tiny{name}", messages=ROME, temperature=0, max_tokens=60, stream=True)
                for name in ("", ":adapter_a", ":adapter_b")
            }
            for name, stream in streams.items():
                said[name] = "".join(c.choices[0].delta.content or "" for c in stream)
        self.assertIn("Rome", said[""])
        self.assertIn("ROME", said[":adapter_a"])
        self.assertEqual(said[":adapter_a"], said[":adapter_a"].upper())
        self.assertIsInstance(json.loads(said[":adapter_b"]), dict)

        old = self.ask(extra_body={"lora_path": "adapter_a"})
        self.assertEqual(old.choices[0].message.content, said[":adapter_a"])
        both = self.ask(model="builtin:tiny:adapter_b", extra_body={"lora_path": "adapter_a"})
        self.assertEqual(both.choices[0].message.content, said[":adapter_b"], "the model's name wins")
        cards = {card.id: card.parent for card in self.client.models.list()}
        self.assertEqual(cards, {"builtin:tiny": None, "adapter_a": "builtin:tiny", "adapter_b": "builtin:tiny"})

    def test_an_adapter_that_is_not_there(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.ask(model="builtin:tiny:adapter_c")
        self.assertIn("adapter_a, adapter_b", caught.exception.message)

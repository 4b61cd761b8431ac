"""The calls of the SGLang tutorial "OpenAI APIs - Completions", cells [2] to [8]."""

import re
import unittest

from client import MODEL, ServerTest

# Ids that any vocabulary of at least 49,152 tokens has.
BIAS_CHAT = {"12345": 50, "6789": -50, "11111": 25}
BIAS_COMPLETION = {"12345": 75, "6789": -100, "11111": -25}


class Tutorial(ServerTest):
    def check_usage(self, usage):
        self.assertGreater(usage.prompt_tokens, 0)
        self.assertGreater(usage.completion_tokens, 0)
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
        self.assertEqual(usage.reasoning_tokens, 0)
        self.assertIsNone(usage.prompt_tokens_details)

    def check_end(self, choice, usage, limit):
        self.assertIn(choice.finish_reason, ("stop", "length"))
        if choice.finish_reason == "length":
            self.assertIsNone(choice.matched_stop)
            self.assertEqual(usage.completion_tokens, limit)
        else:
            self.assertIsInstance(choice.matched_stop, int)
            self.assertLessEqual(usage.completion_tokens, limit)

    def test_cell_2_chat(self):
        r = self.client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "List 3 countries and their capitals."}],
            temperature=0,
            max_tokens=64,
        )
        self.assertRegex(r.id, r"^[0-9a-f]{32}$")
        self.assertEqual(r.object, "chat.completion")
        self.assertEqual(r.model, MODEL)
        self.assertEqual(r.metadata, {"weight_version": "default"})
        self.assertEqual(len(r.choices), 1)
        choice = r.choices[0]
        self.assertEqual(choice.index, 0)
        self.assertIsNone(choice.logprobs)
        self.assertEqual(choice.message.role, "assistant")
        self.assertTrue(choice.message.content)
        self.assertIsNone(choice.message.reasoning_content)
        self.assertIsNone(choice.message.tool_calls)
        self.check_usage(r.usage)
        self.check_end(choice, r.usage, 64)

    def test_cell_2_the_chat_template_adds_tokens(self):
        text = "List 3 countries and their capitals."
        chat = self.client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": text}], max_tokens=1
        )
        plain = self.client.completions.create(model=MODEL, prompt=text, max_tokens=1)
        self.assertGreater(chat.usage.prompt_tokens, plain.usage.prompt_tokens)

    def test_cell_3_chat_logit_bias(self):
        r = self.client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Complete this sentence: The weather today is"}],
            temperature=0.7,
            max_tokens=20,
            logit_bias=BIAS_CHAT,
            logprobs=True,
        )
        tokens = [bytes(t.bytes) for t in r.choices[0].logprobs.content]
        self.assertEqual(len(tokens), 20)
        self.assertEqual(len(set(tokens)), 1, tokens)
        self.assertEqual(r.choices[0].finish_reason, "length")
        self.assertEqual(r.usage.completion_tokens, 20)

    def test_cell_4_several_turns_with_penalties_and_seed(self):
        def ask():
            return self.client.chat.completions.create(
                model=MODEL,
                messages=[
                    {"role": "system", "content": "You are a knowledgeable historian who provides concise responses."},
                    {"role": "user", "content": "Tell me about ancient Rome"},
                    {"role": "assistant", "content": "Ancient Rome was a civilization centered in Italy."},
                    {"role": "user", "content": "What were their major achievements?"},
                ],
                temperature=0.3,
                max_tokens=32,
                top_p=0.95,
                presence_penalty=0.2,
                frequency_penalty=0.2,
                n=1,
                seed=42,
            )

        a, b = ask(), ask()
        self.assertTrue(a.choices[0].message.content)
        self.assertEqual(a.choices[0].message.content, b.choices[0].message.content)
        self.assertNotEqual(a.id, b.id)

    def test_cell_5_stream(self):
        stream = self.client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Say this is a test"}], stream=True, max_tokens=48
        )
        text = ""
        for chunk in stream:
            # As the tutorial reads it: no chunk may have empty choices.
            if chunk.choices[0].delta.content is not None:
                text += chunk.choices[0].delta.content
        self.assertTrue(text)

    def test_cell_6_completion_logit_bias(self):
        r = self.client.completions.create(
            model=MODEL,
            prompt="The best programming language for AI is",
            temperature=0.7,
            max_tokens=20,
            logit_bias=BIAS_COMPLETION,
            logprobs=0,
        )
        self.assertEqual(len(r.choices[0].logprobs.tokens), 20)
        self.assertEqual(len(set(r.choices[0].logprobs.tokens)), 1)

    def test_cell_7_completion(self):
        r = self.client.completions.create(
            model=MODEL, prompt="List 3 countries and their capitals.", temperature=0, max_tokens=64, n=1, stop=None
        )
        self.assertRegex(r.id, r"^[0-9a-f]{32}$")
        self.assertEqual(r.object, "text_completion")
        self.assertEqual(r.metadata, {"weight_version": "default"})
        self.assertIsNone(r.choices[0].logprobs)
        self.check_usage(r.usage)
        self.check_end(r.choices[0], r.usage, 64)

    def test_cell_8_completion_with_stops(self):
        r = self.client.completions.create(
            model=MODEL,
            prompt="Write a short story about a space explorer.",
            temperature=0.7,
            max_tokens=60,
            top_p=0.9,
            stop=["\n\n", "THE END"],
            presence_penalty=0.3,
            frequency_penalty=0.3,
            n=1,
            seed=123,
        )
        choice = r.choices[0]
        self.assertNotIn("\n\n", choice.text)
        self.assertNotIn("THE END", choice.text)
        if choice.finish_reason == "stop":
            self.assertTrue(choice.matched_stop in ("\n\n", "THE END") or isinstance(choice.matched_stop, int))
        self.check_usage(r.usage)

    def test_stop_string_is_cut_and_named(self):
        ask = dict(model=MODEL, prompt="Once upon a time", temperature=0, max_tokens=24)
        whole = self.client.completions.create(**ask).choices[0].text
        word = re.findall(r"[A-Za-z]{3,}", whole)[2]
        r = self.client.completions.create(stop=word, **ask)
        self.assertEqual(r.choices[0].text, whole[: whole.index(word)])
        self.assertEqual(r.choices[0].finish_reason, "stop")
        self.assertEqual(r.choices[0].matched_stop, word)
        kept = self.client.completions.create(stop=[word], extra_body={"no_stop_trim": True}, **ask)
        self.assertEqual(kept.choices[0].text, whole[: whole.index(word)] + word)


if __name__ == "__main__":
    unittest.main()

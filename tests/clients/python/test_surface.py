"""Fields, streams, errors and cancellation beyond the tutorial."""

import json
import unittest

import openai

from client import MODEL, FakeServer, ServerTest, client, eventually, metric, native

HELLO = [{"role": "user", "content": "Say hello in five words."}]


class Streams(ServerTest):
    def test_stream_text_equals_the_text_without_streaming(self):
        ask = dict(model=MODEL, messages=HELLO, temperature=0, max_tokens=24)
        whole = self.client.chat.completions.create(**ask)
        text, roles, ends = "", [], []
        for chunk in self.client.chat.completions.create(stream=True, **ask):
            self.assertEqual(chunk.object, "chat.completion.chunk")
            self.assertEqual(len(chunk.choices), 1)
            self.assertIsNone(chunk.usage)
            delta = chunk.choices[0].delta
            self.assertIsNone(delta.reasoning_content)
            if delta.role:
                roles.append((delta.role, delta.content))
            if chunk.choices[0].finish_reason:
                ends.append(chunk.choices[0])
            text += delta.content or ""
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(roles, [("assistant", "")])
        self.assertEqual(len(ends), 1)
        self.assertEqual(ends[0].finish_reason, whole.choices[0].finish_reason)
        self.assertEqual(ends[0].matched_stop, whole.choices[0].matched_stop)
        self.assertFalse(ends[0].delta.content)

    def test_include_usage_adds_one_chunk_without_choices(self):
        chunks = list(
            self.client.chat.completions.create(
                model=MODEL, messages=HELLO, stream=True, max_tokens=8, stream_options={"include_usage": True}
            )
        )
        self.assertTrue(all(c.usage is None and c.choices for c in chunks[:-1]))
        last = chunks[-1]
        self.assertEqual(last.choices, [])
        self.assertEqual(last.usage.total_tokens, last.usage.prompt_tokens + last.usage.completion_tokens)
        self.assertGreater(last.usage.completion_tokens, 0)

    def test_continuous_usage_is_on_every_chunk(self):
        counts = [
            c.usage.completion_tokens
            for c in self.client.completions.create(
                model=MODEL, prompt="One two three", stream=True, max_tokens=8,
                extra_body={"ignore_eos": True, "stream_options": {"continuous_usage_stats": True}},
            )
        ]
        self.assertEqual(counts, sorted(counts))
        self.assertEqual(counts[-1], 8)

    def test_completion_stream_ends_on_a_text_chunk(self):
        ask = dict(model=MODEL, prompt="One two three", temperature=0, max_tokens=12)
        whole = self.client.completions.create(**ask).choices[0]
        chunks = list(self.client.completions.create(stream=True, **ask))
        self.assertEqual("".join(c.choices[0].text for c in chunks), whole.text)
        self.assertEqual([c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason], [whole.finish_reason])
        self.assertIsNotNone(chunks[-1].choices[0].finish_reason)

    def test_the_clients_stream_helper_accumulates(self):
        with self.client.chat.completions.stream(model=MODEL, messages=HELLO, temperature=0, max_tokens=16) as stream:
            for _ in stream:
                pass
            final = stream.current_completion_snapshot
        whole = self.client.chat.completions.create(model=MODEL, messages=HELLO, temperature=0, max_tokens=16)
        self.assertEqual(final.choices[0].message.content, whole.choices[0].message.content)

    def test_two_choices_in_one_stream(self):
        finished, text = set(), {0: "", 1: ""}
        for c in self.client.chat.completions.create(
            model=MODEL, messages=HELLO, stream=True, n=2, seed=7, temperature=1, max_tokens=10
        ):
            choice = c.choices[0]
            text[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                self.assertNotIn(choice.index, finished)
                finished.add(choice.index)
        self.assertEqual(finished, {0, 1})
        whole = self.client.chat.completions.create(model=MODEL, messages=HELLO, n=2, seed=7, temperature=1, max_tokens=10)
        self.assertEqual([text[0], text[1]], [c.message.content for c in whole.choices])


class Fields(ServerTest):
    def test_list_of_prompts_with_n_is_prompt_major(self):
        r = self.client.completions.create(
            model=MODEL, prompt=["One two", "Red green"], n=2, seed=5, temperature=1, max_tokens=4, echo=True
        )
        self.assertEqual([c.index for c in r.choices], [0, 1, 2, 3])
        for i, c in enumerate(r.choices):
            self.assertTrue(c.text.startswith(["One two", "Red green"][i // 2]), c.text)

    def test_token_id_prompt_is_the_text_it_encodes(self):
        ids = self.client.post("/tokenize", body={"model": MODEL, "prompt": "One two three", "add_special_tokens": False}, cast_to=object)["tokens"]
        a = self.client.completions.create(model=MODEL, prompt=ids, temperature=0, max_tokens=6, echo=True)
        b = self.client.completions.create(model=MODEL, prompt="One two three", temperature=0, max_tokens=6, echo=True)
        self.assertEqual(a.choices[0].text, b.choices[0].text)
        self.assertEqual(a.usage.prompt_tokens, len(ids))
        text = self.client.post("/detokenize", body={"tokens": ids}, cast_to=object)["text"]
        self.assertEqual(text, "One two three")

    def test_chat_logprobs(self):
        r = self.client.chat.completions.create(
            model=MODEL, messages=HELLO, temperature=0, max_tokens=5, logprobs=True, top_logprobs=3
        )
        content = r.choices[0].logprobs.content
        self.assertEqual(len(content), r.usage.completion_tokens)
        for t in content:
            self.assertLessEqual(t.logprob, 0)
            self.assertEqual(len(t.top_logprobs), 3)
            self.assertAlmostEqual(t.top_logprobs[0].logprob, t.logprob, places=4)
            best = [x.logprob for x in t.top_logprobs]
            self.assertEqual(best, sorted(best, reverse=True))

    def test_completion_logprobs_with_echo(self):
        r = self.client.completions.create(
            model=MODEL, prompt="One two three", temperature=0, max_tokens=4, logprobs=2, echo=True,
            extra_body={"ignore_eos": True},
        )
        choice = r.choices[0]
        lp = choice.logprobs
        n = r.usage.prompt_tokens + r.usage.completion_tokens
        self.assertEqual([len(lp.tokens), len(lp.token_logprobs), len(lp.text_offset), len(lp.top_logprobs)], [n] * 4)
        self.assertIsNone(lp.token_logprobs[0])
        self.assertIsNone(lp.top_logprobs[0])
        self.assertTrue(all(p <= 0 for p in lp.token_logprobs[1:]))
        self.assertEqual(lp.text_offset, sorted(lp.text_offset))
        for token, offset in zip(lp.tokens, lp.text_offset):
            if not token.startswith("bytes:"):
                self.assertEqual(choice.text[offset : offset + len(token)], token)

    def test_seed_gives_the_same_choices_again(self):
        ask = dict(model=MODEL, prompt="The sea was", temperature=1, seed=11, n=3, max_tokens=8)
        a, b = self.client.completions.create(**ask), self.client.completions.create(**ask)
        self.assertEqual([c.text for c in a.choices], [c.text for c in b.choices])

    def test_request_id_becomes_the_response_id(self):
        r = self.client.completions.create(model=MODEL, prompt="Hi", max_tokens=1, extra_body={"rid": "job-17"})
        self.assertEqual(r.id, "job-17")

    def test_model_names(self):
        listed = [m.id for m in self.client.models.list()]
        self.assertTrue(listed)
        self.assertEqual(self.client.models.retrieve(listed[0]).id, listed[0])
        for name in (listed[0].upper(), "default", "DEFAULT"):
            r = self.client.completions.create(model=name, prompt="Hi", max_tokens=1)
            self.assertEqual(r.model, name)


class Native(ServerTest):
    """SGLang's own routes, as its documentation calls them."""

    def test_generate_is_a_completion(self):
        text = "The capital of France is"
        ids = self.client.post("/tokenize", body={"prompt": text}, cast_to=object)["tokens"]
        want = self.client.completions.create(model=MODEL, prompt=ids, temperature=0, max_tokens=8).choices[0].text
        for body in ({"text": text}, {"input_ids": ids}):
            r = native("/generate", {**body, "sampling_params": {"temperature": 0, "max_new_tokens": 8}})
            self.assertEqual(r["text"], want)
            self.assertEqual(len(r["output_ids"]), r["meta_info"]["completion_tokens"])
            self.assertEqual(r["meta_info"]["prompt_tokens"], len(ids))

    def test_generate_streams_the_text_so_far(self):
        body = {"text": "One two three", "stream": True, "sampling_params": {"temperature": 0, "max_new_tokens": 6, "ignore_eos": True}}
        *events, end = native("/generate", body)
        self.assertEqual(end, "[DONE]")
        texts = [json.loads(e)["text"] for e in events]
        self.assertTrue(all(b.startswith(a) for a, b in zip(texts, texts[1:])))
        self.assertEqual(json.loads(events[-1])["meta_info"]["finish_reason"], {"type": "length", "length": 6})

    def test_generate_with_log_probabilities_of_the_prompt(self):
        body = {"text": ["One two", "Red green"], "return_logprob": True, "logprob_start_len": 0, "top_logprobs_num": 2,
                "sampling_params": {"temperature": 0, "max_new_tokens": 3, "ignore_eos": True}}
        for r in native("/generate", body):
            meta = r["meta_info"]
            self.assertEqual(len(meta["input_token_logprobs"]), meta["prompt_tokens"])
            self.assertIsNone(meta["input_token_logprobs"][0][0])
            self.assertEqual(len(meta["output_top_logprobs"]), 3)
            self.assertEqual([p[1] for p in meta["output_token_logprobs"]], r["output_ids"])

    def test_abort_pause_and_flush(self):
        stream = self.client.completions.create(
            model=MODEL, prompt="Count: one, two,", stream=True, max_tokens=1500, extra_body={"ignore_eos": True, "rid": "to-abort"}
        )
        first = next(iter(stream))
        self.assertEqual(first.id, "to-abort")
        self.assertEqual(native("/abort_request", {"rid": "to-abort"})["aborted"], 1)
        self.assertEqual([c.choices[0].finish_reason for c in stream][-1], "abort")
        self.assertTrue(native("/pause_generation", {})["success"])
        self.assertTrue(native("/continue_generation", {})["success"])
        self.assertIn("flushed", native("/flush_cache?timeout=60", {}))
        self.assertEqual(self.client.completions.create(model=MODEL, prompt="Hi", max_tokens=1).usage.completion_tokens, 1)

    def test_messages_are_tokenized_as_chat_does(self):
        n = self.client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=1).usage.prompt_tokens
        self.assertEqual(self.client.post("/tokenize", body={"messages": HELLO}, cast_to=object)["count"], n)

    def test_stop_patterns(self):
        r = self.client.completions.create(
            model=MODEL, prompt="1, 2, 3,", temperature=0, max_tokens=40, extra_body={"stop_regex": r"1\d,", "return_token_ids": True}
        )
        self.assertEqual(r.choices[0].matched_stop, r"1\d,")
        self.assertNotRegex(r.choices[0].text, r"1\d,")
        self.assertEqual(len(r.choices[0].token_ids), r.usage.completion_tokens)


class Errors(ServerTest):
    def check(self, error, status, code, param):
        self.assertEqual(error.status_code, status)
        self.assertEqual(error.code, code)
        self.assertEqual(error.param, param)
        self.assertTrue(error.body["message"])

    def test_unknown_model(self):
        for call in (
            lambda: self.client.chat.completions.create(model="no/such-model", messages=HELLO),
            lambda: self.client.completions.create(model="no/such-model", prompt="x"),
            lambda: self.client.models.retrieve("no/such-model"),
        ):
            with self.assertRaises(openai.NotFoundError) as caught:
                call()
            self.check(caught.exception, 404, "model_not_found", "model")

    def test_bad_values_name_their_field(self):
        for field, value in [
            ("temperature", -1), ("top_p", 0), ("n", 0), ("max_tokens", -1), ("seed", 2**63), ("top_logprobs", 21),
            ("presence_penalty", 3), ("logit_bias", {"99999999": 1}), ("logit_bias", {"hello": 1}), ("logit_bias", {"1": 101}),
        ]:
            with self.subTest(field=field, value=value), self.assertRaises(openai.BadRequestError) as caught:
                self.client.chat.completions.create(model=MODEL, messages=HELLO, **{field: value})
            self.assertEqual(caught.exception.param, field)

    def test_logit_bias_names_all_bad_keys(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model=MODEL, messages=HELLO, logit_bias={"1": 1, "99999998": 1, "99999999": 1})
        self.assertIn("99999998", caught.exception.message)
        self.assertIn("99999999", caught.exception.message)

    def test_a_bad_stream_request_is_an_error_before_the_stream(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model=MODEL, messages=[], stream=True)
        self.assertEqual(caught.exception.param, "messages")

    def test_unsupported_fields_say_so(self):
        for extra in ({"return_hidden_states": True}, {"use_beam_search": True}, {"session_id": "x"}):
            with self.subTest(extra=extra), self.assertRaises(openai.BadRequestError) as caught:
                self.client.chat.completions.create(model=MODEL, messages=HELLO, extra_body=extra)
            self.assertIn("not supported", caught.exception.message)
            self.assertEqual(caught.exception.param, next(iter(extra)))

    def test_tokens_by_their_ids(self):
        ask = dict(model=MODEL, messages=HELLO, max_tokens=4)
        few = self.client.chat.completions.create(**ask, extra_body={"allowed_token_ids": [40, 41], "return_token_ids": True})
        self.assertEqual(few.choices[0].finish_reason, "length")
        self.assertLessEqual(set(few.choices[0].model_extra["token_ids"]), {40, 41})
        named = self.client.chat.completions.create(**ask, logprobs=True, extra_body={"logprob_token_ids": [40, 41, 42], "ignore_eos": True})
        for entry in named.choices[0].logprobs.content:
            self.assertEqual(len(entry.top_logprobs), 3)
        cut = self.client.completions.create(model=MODEL, prompt="one two three four five six", max_tokens=1, extra_body={"truncate_prompt_tokens": 2})
        self.assertEqual(cut.usage.prompt_tokens, 2)

    def test_log_probabilities_of_the_prompt(self):
        answer = self.client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=1, extra_body={"prompt_logprobs": 1})
        found = answer.model_extra["prompt_logprobs"]
        self.assertEqual(len(found), answer.usage.prompt_tokens)
        self.assertIsNone(found[0])
        for entry in found[1:]:
            self.assertGreaterEqual(len(entry), 1)
            self.assertTrue(all(value["logprob"] <= 0 for value in entry.values()))

    def test_over_long_prompt(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.completions.create(model=MODEL, prompt="word " * 400_000, max_tokens=1)
        self.assertEqual(caught.exception.code, "context_length_exceeded")

    def test_wrong_key(self):
        with FakeServer("-api-key", "right-key") as server:
            with self.assertRaises(openai.AuthenticationError) as caught:
                client(base_url=server.base_url, api_key="wrong-key").models.list()
            self.check(caught.exception, 401, "invalid_api_key", None)
            self.assertTrue(list(client(base_url=server.base_url, api_key="right-key").models.list()))

    def test_full_queue(self):
        with FakeServer("-max-running", "1", "-token-delay", "20ms") as server:
            c = client(base_url=server.base_url)
            with c.completions.create(
                model="default", prompt="x", max_tokens=4000, stream=True, extra_body={"ignore_eos": True}
            ) as busy:
                next(iter(busy))
                with self.assertRaises(openai.RateLimitError) as caught:
                    c.completions.create(model="default", prompt="y", max_tokens=1)
            self.check(caught.exception, 429, "queue_full", None)
            self.assertTrue(caught.exception.response.headers["retry-after"])


class Disconnects(ServerTest):
    def test_a_client_that_goes_away_frees_its_pages(self):
        free = metric("godwit_kv_pages_free")
        for _ in range(3):
            stream = self.client.completions.create(
                model=MODEL, prompt="Count: one, two,", stream=True, max_tokens=1500, extra_body={"ignore_eos": True}
            )
            next(iter(stream))
            stream.close()
        self.assertTrue(eventually(lambda: metric("godwit_requests_running") + metric("godwit_requests_waiting") == 0))
        self.assertTrue(eventually(lambda: metric("godwit_kv_pages_free") >= free))
        r = self.client.completions.create(model=MODEL, prompt="Hi", max_tokens=1)
        self.assertEqual(r.usage.completion_tokens, 1)


if __name__ == "__main__":
    unittest.main()

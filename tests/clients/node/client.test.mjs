// The official Node client against the server at GODWIT_BASE_URL.
import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { client, eventually, metric, model, skip, skipFake, startFake } from "./client.mjs";

const openai = skip ? null : client();
const hello = [{ role: "user", content: "Say hello in five words." }];

function checkUsage(usage) {
  assert.ok(usage.prompt_tokens > 0 && usage.completion_tokens > 0);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  assert.equal(usage.reasoning_tokens, 0);
  assert.equal(usage.prompt_tokens_details, null);
}

test("tutorial cell 2: chat", { skip }, async () => {
  const r = await openai.chat.completions.create({
    model, messages: [{ role: "user", content: "List 3 countries and their capitals." }], temperature: 0, max_tokens: 64,
  });
  assert.match(r.id, /^[0-9a-f]{32}$/);
  assert.equal(r.object, "chat.completion");
  assert.equal(r.model, model);
  assert.deepEqual(r.metadata, { weight_version: "default" });
  const [choice] = r.choices;
  assert.deepEqual(Object.keys(choice), ["index", "message", "logprobs", "finish_reason", "matched_stop"]);
  assert.deepEqual(Object.keys(choice.message), ["role", "content", "reasoning_content", "tool_calls"]);
  assert.ok(choice.message.content.length > 0);
  assert.equal(choice.message.reasoning_content, null);
  if (choice.finish_reason === "length") assert.equal(choice.matched_stop, null);
  else assert.equal(typeof choice.matched_stop, "number");
  checkUsage(r.usage);
});

test("tutorial cell 3: chat with logit_bias", { skip }, async () => {
  const r = await openai.chat.completions.create({
    model, messages: [{ role: "user", content: "Complete this sentence: The weather today is" }],
    temperature: 0.7, max_tokens: 20, logprobs: true, logit_bias: { 12345: 50, 6789: -50, 11111: 25 },
  });
  const tokens = r.choices[0].logprobs.content.map((t) => t.bytes.join());
  assert.equal(tokens.length, 20);
  assert.equal(new Set(tokens).size, 1);
});

test("tutorial cell 4: several turns, penalties, seed", { skip }, async () => {
  const ask = () => openai.chat.completions.create({
    model,
    messages: [
      { role: "system", content: "You are a knowledgeable historian who provides concise responses." },
      { role: "user", content: "Tell me about ancient Rome" },
      { role: "assistant", content: "Ancient Rome was a civilization centered in Italy." },
      { role: "user", content: "What were their major achievements?" },
    ],
    temperature: 0.3, max_tokens: 32, top_p: 0.95, presence_penalty: 0.2, frequency_penalty: 0.2, n: 1, seed: 42,
  });
  assert.equal((await ask()).choices[0].message.content, (await ask()).choices[0].message.content);
});

test("tutorial cell 5: stream; no chunk has empty choices", { skip }, async () => {
  let text = "";
  const stream = await openai.chat.completions.create({
    model, messages: [{ role: "user", content: "Say this is a test" }], stream: true, max_tokens: 48,
  });
  for await (const chunk of stream) text += chunk.choices[0].delta.content ?? "";
  assert.ok(text.length > 0);
});

test("tutorial cells 6 to 8: completions", { skip }, async () => {
  const biased = await openai.completions.create({
    model, prompt: "The best programming language for AI is", temperature: 0.7, max_tokens: 20, logprobs: 0,
    logit_bias: { 12345: 75, 6789: -100, 11111: -25 },
  });
  assert.equal(new Set(biased.choices[0].logprobs.tokens).size, 1);
  const plain = await openai.completions.create({
    model, prompt: "List 3 countries and their capitals.", temperature: 0, max_tokens: 64, n: 1, stop: null,
  });
  checkUsage(plain.usage);
  assert.equal(plain.object, "text_completion");
  const stopped = await openai.completions.create({
    model, prompt: "Write a short story about a space explorer.", temperature: 0.7, max_tokens: 60, top_p: 0.9,
    stop: ["\n\n", "THE END"], presence_penalty: 0.3, frequency_penalty: 0.3, n: 1, seed: 123,
  });
  assert.ok(!stopped.choices[0].text.includes("\n\n"));
});

test("stream text equals the text without streaming", { skip }, async () => {
  const ask = { model, messages: hello, temperature: 0, max_tokens: 24 };
  const whole = await openai.chat.completions.create(ask);
  const stream = openai.chat.completions.stream({ ...ask, stream_options: { include_usage: true } });
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0].message.content, whole.choices[0].message.content);
  assert.equal(final.choices[0].finish_reason, whole.choices[0].finish_reason);
  assert.deepEqual(final.usage, whole.usage);
});

test("n choices of a list of prompts are prompt-major, echoed and reproducible", { skip }, async () => {
  const ask = () => openai.completions.create({ model, prompt: ["One two", "Red green"], n: 2, seed: 5, max_tokens: 4, echo: true });
  const [a, b] = [await ask(), await ask()];
  assert.deepEqual(a.choices.map((c) => c.index), [0, 1, 2, 3]);
  assert.deepEqual(a.choices.map((c) => c.text), b.choices.map((c) => c.text));
  a.choices.forEach((c, i) => assert.ok(c.text.startsWith(["One two", "Red green"][i >> 1])));
});

test("errors have their class, code and param", { skip }, async () => {
  await assert.rejects(openai.chat.completions.create({ model: "no/such", messages: hello }), (e) => {
    assert.ok(e instanceof OpenAI.NotFoundError);
    assert.deepEqual([e.code, e.param], ["model_not_found", "model"]);
    return true;
  });
  await assert.rejects(openai.chat.completions.create({ model, messages: hello, temperature: -1, stream: true }), (e) => {
    assert.ok(e instanceof OpenAI.BadRequestError);
    assert.equal(e.param, "temperature");
    return true;
  });
  await assert.rejects(openai.models.retrieve("no/such"), OpenAI.NotFoundError);
  for await (const m of openai.models.list()) assert.equal((await openai.models.retrieve(m.id)).id, m.id);
});

test("a wrong key is an AuthenticationError, a full queue a RateLimitError", { skip: skipFake }, async () => {
  const locked = await startFake("-api-key", "right-key");
  const busy = await startFake("-max-running", "1", "-token-delay", "20ms");
  try {
    await assert.rejects(client({ baseURL: locked.baseURL, apiKey: "wrong" }).models.list(), OpenAI.AuthenticationError);
    await client({ baseURL: locked.baseURL, apiKey: "right-key" }).models.list();
    const c = client({ baseURL: busy.baseURL });
    const stream = await c.completions.create({ model: "default", prompt: "x", max_tokens: 4000, stream: true, ignore_eos: true });
    await assert.rejects(c.completions.create({ model: "default", prompt: "y" }), OpenAI.RateLimitError);
    stream.controller.abort();
  } finally {
    await Promise.all([locked.stop(), busy.stop()]);
  }
});

test("a client that goes away frees its pages", { skip }, async () => {
  const free = await metric("godwit_kv_pages_free");
  const stream = await openai.completions.create({ model, prompt: "Count: one,", max_tokens: 1500, stream: true, ignore_eos: true });
  for await (const _ of stream) break; // leaving the loop aborts the request
  assert.ok(await eventually(async () => (await metric("godwit_requests_running")) === 0));
  assert.ok(await eventually(async () => (await metric("godwit_kv_pages_free")) >= free));
});

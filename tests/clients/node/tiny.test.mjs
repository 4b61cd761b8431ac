// Thinking and adapters with a real model that godwit brings along, builtin:tiny.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { client, godwit, skipGodwit, startGodwit } from "./client.mjs";

const messages = [{ role: "user", content: "What is the capital of Italy?" }];
const model = "builtin:tiny";
let server, openai;

before(async () => {
  if (!godwit) return;
  server = await startGodwit("--model-path", model, "--reasoning-parser", "auto", "--lora-paths", "adapter_a=builtin:tiny-upper", "adapter_b=builtin:tiny-json");
  openai = client({ baseURL: server.baseURL });
});
after(() => server?.stop());

const ask = (more) => openai.chat.completions.create({ model, messages, temperature: 0, max_tokens: 100, ...more });

test("thinking is apart from the answer, whole and streamed", { skip: skipGodwit }, async () => {
  const thinking = { chat_template_kwargs: { enable_thinking: true }, separate_reasoning: true };
  const { choices: [{ message }], usage } = await ask(thinking);
  assert.match(message.reasoning_content, /Rome/);
  assert.match(message.content, /Rome/);
  assert.doesNotMatch(message.content + message.reasoning_content, /think>/);
  assert.ok(usage.reasoning_tokens > 0 && usage.reasoning_tokens < usage.completion_tokens);
  let thought = "", content = "";
  for await (const { choices: [{ delta }] } of await ask({ ...thinking, stream: true })) {
    thought += delta.reasoning_content ?? "";
    content += delta.content ?? "";
  }
  assert.deepEqual([thought, content], [message.reasoning_content, message.content]);
  const off = await ask({ chat_template_kwargs: { enable_thinking: false } });
  assert.equal(off.choices[0].message.reasoning_content, null);
  assert.match(off.choices[0].message.content, /Rome/);
});

test("the model and two adapters answer together", { skip: skipGodwit }, async () => {
  const [plain, upper, json] = await Promise.all(
    [model, `${model}:adapter_a`, `${model}:adapter_b`].map(async (name) => (await ask({ model: name })).choices[0].message.content),
  );
  assert.match(plain, /Rome/);
  assert.match(upper, /ROME/);
  assert.equal(upper, upper.toUpperCase());
  assert.equal(typeof JSON.parse(json), "object");
  assert.equal((await ask({ lora_path: "adapter_a" })).choices[0].message.content, upper);
  await assert.rejects(ask({ model: `${model}:adapter_c` }), (e) => e.status === 404 && e.code === "model_not_found");
});

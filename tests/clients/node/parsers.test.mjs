// Thinking and tool calls, as the official Node client and its helpers read them.
import assert from "node:assert/strict";
import test from "node:test";
import { client, skipFake, startFake } from "./client.mjs";

const weather = {
  type: "function",
  function: { name: "get_weather", description: "The weather in a city.", parameters: { type: "object", properties: { city: { type: "string" } } } },
};
const ask = { model: "default", messages: [{ role: "user", content: "How is the weather in Paris and in Rome?" }] };
const reply =
  '<think>\nTwo calls.\n</think>\n\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>\n' +
  '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>';
const flags = ["-reasoning-parser", "qwen3", "-tool-call-parser", "qwen25", "-reply", reply, "-token-delay", "0s"];

test("thinking and calls, whole and streamed", { skip: skipFake }, async () => {
  const fake = await startFake(...flags);
  try {
    const openai = client({ baseURL: fake.baseURL });
    const whole = await openai.chat.completions.create({ ...ask, tools: [weather] });
    let reasoning = "";
    const stream = openai.chat.completions.stream({ ...ask, tools: [weather] });
    stream.on("chunk", (chunk) => (reasoning += chunk.choices[0].delta.reasoning_content ?? ""));
    const final = await stream.finalChatCompletion();
    for (const { message, finish_reason } of [whole.choices[0], final.choices[0]]) {
      assert.equal(finish_reason, "tool_calls");
      assert.ok(!message.content);
      assert.deepEqual(message.tool_calls.map((c) => JSON.parse(c.function.arguments).city), ["Paris", "Rome"]);
      for (const call of message.tool_calls) assert.match(call.id, /^call_[0-9a-f]{24}$/);
    }
    assert.equal(whole.choices[0].message.reasoning_content, "Two calls.");
    assert.equal(reasoning, "Two calls.");
  } finally {
    await fake.stop();
  }
});

test("the client runs the tools and gives their results back", { skip: skipFake }, async () => {
  const fake = await startFake(...flags.slice(2)); // no thinking: its answer has no marker
  try {
    const cities = [];
    const tool = { ...weather, function: { ...weather.function, parse: JSON.parse, function: ({ city }) => (cities.push(city), "sun") } };
    const runner = client({ baseURL: fake.baseURL }).chat.completions.runTools({ ...ask, tools: [tool], stream: true });
    assert.equal(await runner.finalContent(), "The tool says sun.");
    assert.deepEqual(cities, ["Paris", "Rome"]);
  } finally {
    await fake.stop();
  }
});

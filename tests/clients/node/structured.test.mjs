// Structured output with Zod: what ended by itself is valid, streamed and not.
// GODWIT_SEEDS says how many seeds are tried (default 2).
import test from "node:test";
import assert from "node:assert/strict";
import { LengthFinishReasonError } from "openai/error";
import { zodResponseFormat, zodFunction } from "openai/helpers/zod";
import { z } from "zod";
import { client, model, skip } from "./client.mjs";

const seeds = Number(process.env.GODWIT_SEEDS ?? "2");
const messages = [{ role: "user", content: "Make up an example, as JSON." }];
const max_tokens = 160;

const person = z.strictObject({
  name: z.string(),
  mood: z.enum(["happy", "sad"]),
  home: z.strictObject({ street: z.string(), number: z.number().int().nullable() }).nullable(),
  tags: z.array(z.literal(["red", "green"])),
  score: z.union([z.number(), z.boolean()]),
});
const tree = z.strictObject({
  value: z.number().int(),
  get children() {
    return z.array(tree);
  },
});

for (const [name, shape] of Object.entries({ person, tree })) {
  test(`${name}: an answer that ended by itself is valid, streamed and not`, { skip }, async () => {
    const api = client();
    for (let seed = 0; seed < seeds; seed++) {
      const ask = { model, messages, max_tokens, seed, temperature: 1 + (seed % 2), response_format: zodResponseFormat(shape, name) };
      let whole;
      try {
        whole = (await api.chat.completions.parse(ask)).choices[0];
      } catch (err) {
        assert.ok(err instanceof LengthFinishReasonError, String(err));
        continue;
      }
      assert.equal(whole.finish_reason, "stop");
      assert.deepEqual(shape.parse(JSON.parse(whole.message.content)), whole.message.parsed);
      const streamed = (await api.chat.completions.stream(ask).finalChatCompletion()).choices[0];
      assert.equal(streamed.message.content, whole.message.content);
      assert.deepEqual(streamed.message.parsed, whole.message.parsed);
    }
  });
}

test("a tool that must be called is called with valid arguments", { skip }, async () => {
  const parameters = z.strictObject({ city: z.enum(["Rome", "Oslo"]), days: z.number().int().nullable() });
  const answer = await client().chat.completions.parse({
    model, messages, max_tokens, seed: 1, temperature: 2, tool_choice: "required", parallel_tool_calls: false,
    tools: [zodFunction({ name: "weather", parameters })],
  });
  const choice = answer.choices[0];
  if (choice.finish_reason === "length") return;
  assert.equal(choice.finish_reason, "tool_calls");
  assert.equal(choice.message.tool_calls[0].function.name, "weather");
  parameters.parse(choice.message.tool_calls[0].function.parsed_arguments);
});

// Structured output with Zod: what ended by itself is valid, streamed and not.
// GODWIT_SEEDS says how many seeds are tried (default 2), GODWIT_STREAMS how many requests
// run at once.
import test from "node:test";
import assert from "node:assert/strict";
import { LengthFinishReasonError } from "openai/error";
import { zodResponseFormat, zodFunction } from "openai/helpers/zod";
import { z } from "zod";
import { client, model, skip } from "./client.mjs";

const seeds = Number(process.env.GODWIT_SEEDS ?? "2");
const streams = Number(process.env.GODWIT_STREAMS ?? "8");
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
// Zod counts UTF-16 units, JSON Schema and the server code points: emoji would be too long.
const event = z.strictObject({
  what: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("move"), by: z.int().min(-9).max(9) }),
    z.strictObject({ kind: z.literal("say"), text: z.string().regex(/^[ -~]*$/).max(12), to: z.enum(["all", "one"]).nullable() }),
  ]),
  code: z.string().regex(/^[A-Z]{2}-\d{3}$/),
  next: z.lazy(() => event).nullable(),
});
const loose = z.object({
  day: z.iso.date(),
  counts: z.record(z.string(), z.number().int()),
  label: z.string().regex(/^[a-z]*$/).max(8).optional(),
  ratio: z.number().gt(0).lte(1).multipleOf(0.125),
  flags: z.array(z.boolean()).min(1).max(3),
});

/** Runs work(seed) for every seed, some at once. */
async function each(work) {
  let next = 0;
  const run = async () => {
    while (next < seeds) await work(next++);
  };
  await Promise.all(Array.from({ length: streams }, run));
}

/** The choice of an answer, or nothing when a limit cut it off. */
async function choiceOf(answer) {
  try {
    const choice = (await answer).choices[0];
    if (choice.finish_reason === "length") return;
    assert.equal(choice.finish_reason, "stop");
    return choice;
  } catch (err) {
    assert.ok(err instanceof LengthFinishReasonError, `${err} ${err.cause?.cause ?? err.cause ?? ""}`);
  }
}

for (const [name, shape] of Object.entries({ person, tree, event })) {
  test(`${name}: an answer that ended by itself is valid, streamed and not`, { skip }, async () => {
    const api = client();
    let ended = 0;
    await each(async (seed) => {
      const ask = { model, messages, max_tokens, seed, temperature: 1 + (seed % 2), response_format: zodResponseFormat(shape, name) };
      const streamed = () => choiceOf(api.chat.completions.stream(ask).finalChatCompletion());
      const choice = await (seed % 4 > 1 ? streamed() : choiceOf(api.chat.completions.parse(ask)));
      if (!choice) return;
      ended++;
      assert.deepEqual(shape.parse(JSON.parse(choice.message.content)), choice.message.parsed, `seed ${seed}`);
      if (seed % 4 === 0 && seed < 40) assert.equal((await streamed()).message.content, choice.message.content, `seed ${seed}`);
    });
    console.log(`${name}: ${ended} of ${seeds} answers ended by themselves, all valid; the others said length`);
  });
}

test("loose: the schema of Zod itself, with members of its own and optional ones", { skip }, async () => {
  const api = client();
  const schema = z.toJSONSchema(loose, { io: "input" });
  let ended = 0;
  await each(async (seed) => {
    const ask = { model, messages, max_tokens, seed, temperature: 1 + (seed % 2), response_format: { type: "json_schema", json_schema: { name: "loose", schema } } };
    const choice = await choiceOf(api.chat.completions.create(ask));
    if (!choice) return;
    ended++;
    assert.ok(loose.safeParse(JSON.parse(choice.message.content)).success, `seed ${seed}: ${choice.message.content}`);
  });
  console.log(`loose: ${ended} of ${seeds} answers ended by themselves, all valid; the others said length`);
});

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

test("what cannot be enforced is refused with its place", { skip }, async () => {
  const response_format = { type: "json_schema", json_schema: { name: "x", schema: z.toJSONSchema(z.object({ twice: z.string().regex(/^(a|b)\1$/) })) } };
  await assert.rejects(client().chat.completions.create({ model, messages, max_tokens: 5, response_format }), (e) => {
    assert.equal(e.status, 400);
    assert.equal(e.param, "response_format.json_schema.schema");
    assert.match(e.message, /#\/properties\/twice\/pattern/);
    return true;
  });
});

// Types as people write them with Zod, on builtin:tiny: each either gives answers that Zod
// reads, or is refused with the place that cannot be enforced.
// GODWIT_SEEDS says how many seeds are tried per type (default 2).
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { client, godwit, skipGodwit, startGodwit } from "./client.mjs";

const seeds = Number(process.env.GODWIT_SEEDS ?? "2");
const model = "builtin:tiny";
const messages = [{ role: "user", content: "Give me one." }];
const plain = (n) => z.string().regex(/^[ -~]*$/).max(n); // Zod counts emoji twice
let server, openai;

before(async () => {
  if (!godwit) return;
  server = await startGodwit("--model-path", model);
  openai = client({ baseURL: server.baseURL });
});
after(() => server?.stop());

const node = z.object({
  v: z.number(),
  get kids() {
    return z.array(node).max(2);
  },
});
const lazy = z.lazy(() => z.union([plain(4), z.array(lazy).max(2), z.null()]));

const types = {
  discriminated: z.object({ p: z.discriminatedUnion("kind", [z.object({ kind: z.literal("a"), x: z.int() }), z.object({ kind: z.literal("b"), y: plain(5) })]) }),
  node,
  lazy: z.object({ j: lazy }),
  record: z.object({ r: z.record(z.string(), z.number()), e: z.record(z.enum(["p", "q"]), z.boolean()), s: z.partialRecord(z.enum(["p", "q"]), z.boolean()) }),
  tuple: z.object({ t: z.tuple([z.number(), plain(3)]) }),
  literals: z.object({ a: z.literal("x"), b: z.literal([1, 2]), c: z.literal(true), d: z.literal(null) }),
  nullable: z.object({ a: plain(4).nullable(), b: z.number().nullish().default(null), c: z.nullable(z.object({ z: z.boolean() })), d: plain(3).optional().nullable() }),
  optional: z.object({ a: plain(3).optional(), b: z.int() }),
  dates: z.object({ a: z.iso.date(), b: z.iso.datetime({ precision: 0 }) }),
  ids: z.object({ u: z.uuid(), v: z.uuidv4(), g: z.guid(), i: z.ipv4() }),
  patterns: z.object({ a: z.string().regex(/^[a-f]{3,5}$/i), b: z.string().startsWith("ab").endsWith("yz").regex(/^[a-z]*$/).max(9) }),
  bounds: z.object({ a: z.number().min(0).max(1), b: z.int().gt(3).lt(9), d: z.array(z.int()).min(1).max(2), e: z.number().multipleOf(0.5).min(-2).max(2), n: z.array(z.boolean()).length(2) }),
  catchall: z.object({ a: z.number() }).catchall(plain(5)),
  loose: z.looseObject({ a: z.number() }),
  strict: z.strictObject({ a: z.number() }),
  intersection: z.object({ i: z.intersection(z.object({ a: z.number() }), z.object({ b: plain(4) })) }),
  defaults: z.object({ a: plain(5).default("q"), b: z.number().default(3), c: plain(3).catch("q"), d: plain(3).prefault("x") }),
  brand: z.object({ a: plain(4).brand("X"), r: z.array(z.int()).max(2).readonly() }),
  numbers: z.object({ a: z.int(), b: z.float32(), c: z.int32(), d: z.uint32() }),
  enums: z.object({ a: z.enum({ A: 1, B: 2 }), b: z.enum(["u", "v"]).exclude(["u"]) }),
  anything: z.object({ a: z.any(), b: z.unknown() }),
  union: z.object({ a: z.union([plain(3), z.number(), z.object({ k: z.literal("k") })]) }),
  nested: z.object({ a: z.array(z.object({ b: z.record(z.string(), z.array(z.object({ i: z.int() })).max(1)) })).max(1) }),
  json: z.object({ j: z.json() }),
  template: z.object({ a: z.templateLiteral(["v", z.enum(["1", "2"]), "-", z.enum(["a", "b"])]) }),
};

/** The schemas of a type: the client's own, where it can write one, and Zod's. */
function formats(name, shape) {
  const list = [{ type: "json_schema", json_schema: { name, schema: z.toJSONSchema(shape, { io: "input" }) } }];
  try {
    list.push(zodResponseFormat(shape, name));
  } catch {
    // the client refuses what OpenAI's strict mode has not
  }
  if (name === "tuple") Object.assign(list[0].json_schema.schema.properties.t, { minItems: 2, maxItems: 2 }); // Zod's schema allows other lengths, Zod does not
  return list;
}

for (const [name, shape] of Object.entries(types)) {
  test(`type ${name}`, { skip: skipGodwit }, async () => {
    const answers = formats(name, shape).flatMap((response_format) =>
      Array.from({ length: seeds }, async (_, seed) => {
        const ask = { model, messages, max_tokens: 250, seed, temperature: 1 + (seed % 2), response_format };
        const { choices: [choice] } = await openai.chat.completions.create(ask);
        if (choice.finish_reason === "length") return;
        assert.equal(choice.finish_reason, "stop");
        const read = shape.safeParse(JSON.parse(choice.message.content));
        assert.ok(read.success, `seed ${seed}: ${choice.message.content} ${read.error}`);
      }),
    );
    await Promise.all(answers);
  });
}

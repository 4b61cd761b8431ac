// The peer of the CPU benchmark: llama.cpp through node-llama-cpp's prebuilt
// library, driven at its lowest interface so that no JavaScript of the library
// runs between steps. Reads one JSON request per line, answers one per line.
//
//   node peer.mjs MODEL THREADS        (node_modules beside the working directory)
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";
import {createInterface} from "node:readline";
import path from "node:path";

const resolve = createRequire(path.join(process.cwd(), "package.json")).resolve;
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(resolve("node-llama-cpp")));
const [modelPath, threadText] = process.argv.slice(2);
const threads = Number(threadText);

const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: threads});
const model = await llama.loadModel({modelPath, gpuLayers: 0});
const batchSize = 512;
const contexts = {};

// context returns the context for tokens per sequence, kept for the next request.
async function context(flash, tokens) {
  const [contextSize, sequences] = tokens <= 1024 ? [1024, 8] : [8192, 1];
  return contexts[[flash, sequences]] ??= await model.createContext({
    contextSize, sequences, batchSize, threads: {ideal: threads, min: threads}, flashAttention: flash,
  });
}
const sampler = new llama._bindings.AddonSampler(model._model);
sampler.applyConfig({temperature: 0});

// step decodes rows of [sequence, position, tokens] and returns each one's next token.
async function step(ctx, rows) {
  ctx.initBatch(rows.reduce((n, r) => n + r[2].length, 0));
  const at = rows.map(([seq, pos, ids]) => ctx.addToBatch(seq, pos, Uint32Array.from(ids), Uint32Array.of(ids.length - 1))[0]);
  await ctx.decodeBatch();
  const out = [];
  for (const i of at) out.push(await ctx.sampleToken(i, sampler));
  return out;
}

const seconds = ({user, system}) => (user + system) / 1e6;

async function run({prompts, steps, flash}) {
  const ctx = (await context(flash, prompts[0].length + steps))._ctx;
  ctx.setThreads(threads);
  for (let i = 0; i < prompts.length; i++) ctx.disposeSequence(i);
  const tokens = prompts.map(() => []);
  let start = process.hrtime.bigint(), busy = process.cpuUsage();
  for (const [i, p] of prompts.entries()) {
    let next;
    for (let at = 0; at < p.length; at += batchSize) next = await step(ctx, [[i, at, p.slice(at, at + batchSize)]]);
    tokens[i].push(...next);
  }
  const prefill = Number(process.hrtime.bigint() - start) / 1e9, prefillCPU = seconds(process.cpuUsage(busy));
  start = process.hrtime.bigint();
  busy = process.cpuUsage();
  for (let s = 0; s < steps; s++) {
    const out = await step(ctx, prompts.map((p, i) => [i, p.length + s, [tokens[i].at(-1)]]));
    out.forEach((t, i) => tokens[i].push(t));
  }
  const decode = Number(process.hrtime.bigint() - start) / 1e9, decodeCPU = seconds(process.cpuUsage(busy));
  return {prefill, decode, prefillCPU, decodeCPU, tokens};
}

console.log(JSON.stringify({system: llama.systemInfo ?? "", release: llama.llamaCppRelease?.release ?? ""}));
for await (const line of createInterface({input: process.stdin})) {
  console.log(JSON.stringify(await run(JSON.parse(line))));
}
process.exit(0);

// What the tests here share: where the server is, and a client for it.
import OpenAI from "openai";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

export const baseURL = process.env.GODWIT_BASE_URL ?? "";
export const model = process.env.GODWIT_MODEL ?? "default";
export const apiKey = process.env.GODWIT_API_KEY ?? "None";
export const fakeServer = process.env.GODWIT_FAKE_SERVER ?? "";
export const godwit = process.env.GODWIT_BIN ?? "";
export const skip = baseURL ? false : "GODWIT_BASE_URL is not set";
export const skipFake = fakeServer ? false : "GODWIT_FAKE_SERVER names no fakeserver binary";
export const skipGodwit = godwit ? false : "GODWIT_BIN names no built godwit";

export function client(options = {}) {
  return new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 600_000, ...options });
}

/** The value of one metric without labels. */
export async function metric(name) {
  const url = baseURL.replace(/\/v1\/?$/, "") + "/metrics";
  const text = await (await fetch(url, { headers: { authorization: `Bearer ${apiKey}` } })).text();
  const line = text.split("\n").find((l) => l.startsWith(name + " "));
  if (!line) throw new Error(`no metric ${name}`);
  return Number(line.split(" ")[1]);
}

/** Polls until check() is true. */
export async function eventually(check, milliseconds = 60_000) {
  for (const end = Date.now() + milliseconds; Date.now() < end; ) {
    if (await check()) return true;
    await new Promise((done) => setTimeout(done, 50));
  }
  return false;
}

/** Starts a fakeserver process (tests/clients/fakeserver); stop() ends it. */
export async function startFake(...flags) {
  const child = spawn(fakeServer, ["-stdin", ...flags], { stdio: ["pipe", "pipe", "inherit"] });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /GODWIT_BASE_URL=(\S+)/.exec(line)[1];
    const stop = () => new Promise((done) => (child.on("exit", done), child.stdin.end()));
    return { baseURL: url, stop };
  }
  throw new Error("fakeserver did not start");
}

/** Starts `godwit serve` with the given flags on a free loopback port; stop() ends it. */
export async function startGodwit(...flags) {
  const child = spawn(godwit, ["serve", ...flags, "--log-level", "warning", "--host", "127.0.0.1", "--port", "0"], { stdio: ["ignore", "ignore", "pipe"] });
  const gone = new Promise((done) => child.on("exit", done));
  let seen = "";
  const baseURL = await new Promise((found, failed) => {
    child.stderr.on("data", (piece) => {
      seen += piece;
      const url = /serving .* at (http\S+\/v1)/.exec(seen);
      if (url) found(url[1]);
    });
    gone.then(() => failed(new Error(`godwit serve ${flags.join(" ")}: ${seen}`)));
  });
  const stop = () => (child.kill(), gone);
  return { baseURL, stop };
}

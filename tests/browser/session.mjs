// Uses a running JupyterLab by keyboard as somebody at it would: types, completes, runs,
// interrupts, asks for help, fails, answers a question, restarts.
// node session.mjs LAB_URL NOTEBOOK FOLDER PREFIX; prints what it saw as JSON and leaves
// pictures in FOLDER. LAB_URL is the server's address with its token.

import { launch, open, patience } from "./browser.mjs";

const [address, notebook, folder, prefix] = process.argv.slice(2);
const url = new URL(address);
url.pathname = `${url.pathname.replace(/\/(lab)?\/?$/, "")}/lab/tree/${notebook}`;
url.searchParams.set("reset", "");
const browser = await launch();
try {
  const { page, report } = await open(browser, { viewport: { width: 1100, height: 900 } });
  const seen = {};
  let pictures = 0;
  const picture = (name) => page.screenshot({ path: `${folder}/${prefix}-${++pictures}-${name}.png` });
  const key = (...keys) => keys.reduce((before, k) => before.then(() => page.keyboard.press(k)), Promise.resolve());
  const kernel = (f, arg) => page.evaluate(([body, a]) =>
    new Function("kernel", "arg", `return ${body}`)(globalThis.jupyterapp.shell.currentWidget.sessionContext.session?.kernel, a), [f, arg]);
  const idle = () => page.waitForFunction(() => {
    const context = globalThis.jupyterapp.shell.currentWidget?.sessionContext;
    return context?.isReady && context.session?.kernel?.status === "idle";
  }, null, { timeout: patience });
  const cell = (n) => page.locator(".jp-Notebook .jp-Cell").nth(n);
  const output = (n) => cell(n).locator(".jp-OutputArea-output");
  const text = async (locator) => (await locator.allInnerTexts()).join("\n").trim();
  // chord presses a key twice, again and again until something is seen: Lab forgets the
  // first press after a second, which a slow machine may need for it.
  const chord = async (k, seen) => {
    for (let tries = 0; tries < 9; tries++) {
      await key(k, k);
      if (await seen.waitFor({ timeout: patience / 9 }).then(() => true, () => false)) return;
    }
    throw new Error(`no effect of ${k} ${k}`);
  };
  // write types into the active cell; Lab's own closing brackets are not wanted.
  const write = async (code) => { await page.keyboard.insertText(code); };
  const run = async (n, code) => {
    await cell(n).locator(".cm-content").click();
    await write(code);
    await key("Shift+Enter");
  };

  await page.goto(url.href);
  await page.waitForFunction(() => globalThis.jupyterapp?.shell?.currentWidget?.content?.widgets?.length, null, { timeout: patience });
  await page.evaluate(() => globalThis.jupyterapp.commands.execute("application:toggle-left-area").catch(() => {}));
  await idle();

  // Type half a name, complete it, run.
  await cell(0).locator(".cm-content").click();
  await write('word := "  worked  "\nword = strings.TrimS');
  await key("Tab");
  const completer = page.locator(".jp-Completer:not(.lm-mod-hidden)");
  await completer.locator(".jp-Completer-item").first().waitFor();
  seen.offered = await completer.locator(".jp-Completer-match").allInnerTexts();
  seen.kinds = await completer.locator(".jp-Completer-type, .jp-Completer-typeExtended").allInnerTexts();
  seen.kinds = seen.kinds.map((k) => k.trim()).filter((k) => k.length > 1);
  await picture("completion");
  await completer.locator(".jp-Completer-item", { hasText: "TrimSpace" }).first().click();
  await write('("  worked  ")');
  seen.typed = await page.evaluate(() => globalThis.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.getSource());
  await write("\nword");
  await key("Shift+Enter");
  await output(0).first().waitFor();
  await idle();
  seen.ran = { count: (await text(cell(0).locator(".jp-InputPrompt"))), text: await text(output(0)) };
  await picture("ran");

  // Help in a tooltip.
  await cell(1).locator(".cm-content").click();
  await write("strings.TrimSpace(");
  await key("Shift+Tab");
  const tooltip = page.locator(".jp-Tooltip");
  await tooltip.waitFor();
  seen.tooltip = await text(tooltip);
  await picture("tooltip");
  await key("Escape");
  await cell(1).locator(".cm-content").click();
  await key("Control+a", "Delete");

  // A cell that runs; completion beside it; interrupt.
  await write('fmt.Println("spinning")\nfor { }');
  await key("Shift+Enter");
  await output(1).first().waitFor();
  seen.running = await text(cell(1).locator(".jp-InputPrompt"));
  await cell(2).locator(".cm-content").click();
  await write("strings.Fie");
  await key("Tab");
  await page.waitForFunction(() => document.querySelector(".jp-Completer:not(.lm-mod-hidden) .jp-Completer-match")
    || globalThis.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.getSource().includes("Fields"));
  seen.whileBusy = (await text(completer)) + " " + await page.evaluate(() =>
    globalThis.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.getSource());
  await page.waitForFunction(() => globalThis.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === "busy");
  seen.statusMeanwhile = await kernel("kernel.status");
  await picture("running");
  await key("Escape", "Escape");
  await cell(2).locator(".cm-content").click();
  await key("Control+a", "Delete", "Escape");
  await chord("i", cell(1).locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"], .jp-RenderedText[data-mime-type="application/vnd.jupyter.error"]').first());
  await idle();
  seen.interrupted = await text(output(1));
  await picture("interrupted");

  await run(2, "word");
  await output(2).first().waitFor();
  seen.kept = await text(output(2));

  // An error with its traceback.
  await run(3, "func quotient(n int) int {\n\treturn 10 / n\n}\nquotient(0)");
  await output(3).first().waitFor();
  await idle();
  seen.traceback = await text(output(3));
  await picture("error");

  // A question.
  await run(4, 'name := Input("who? ")\nfmt.Println("hello", name)');
  const box = cell(4).locator("input.jp-Stdin-input");
  await box.waitFor();
  await picture("question");
  await box.fill("Ada");
  await box.press("Enter");
  await page.waitForFunction(() => [...document.querySelectorAll(".jp-OutputArea-output")].some((o) => o.innerText.includes("hello Ada")));
  seen.answered = (await text(cell(4).locator('.jp-RenderedText[data-mime-type="application/vnd.jupyter.stdout"]'))).split("\n").pop();

  await run(5, 'DisplayHTML("<b class=\\"rich\\">bold</b>")');
  await cell(5).locator("b.rich").waitFor();
  seen.rich = await text(cell(5).locator("b.rich"));
  await picture("rich");

  // Restart: the state is gone.
  seen.subshells = await kernel("kernel.supportsSubshells");
  await cell(6).locator(".cm-content").click();
  await key("Escape");
  const confirm = page.locator(".jp-Dialog button.jp-mod-accept");
  await chord("0", confirm);
  await picture("restart");
  await confirm.click();
  await confirm.waitFor({ state: "detached" });
  await idle();
  await run(6, "word");
  await output(6).first().waitFor();
  seen.fresh = await text(output(6));
  await picture("fresh");
  console.log(JSON.stringify({ ...seen, ...report }));
} finally {
  await browser.close();
}

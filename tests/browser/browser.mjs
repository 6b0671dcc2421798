// What the checks share: Chromium, a page whose errors fail the check, and axe-core.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

export function launch() {
  const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"];
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
}

/** Runs a check on a page of its own; an error on its console, a policy violation or a dialog fails the check, except failed loads that it expects. */
export async function onPage(browser, { expected = /$^/, ...options }, check) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, ...options });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => {
    // Pages about what is not there, a faulty draft in the tester, and the live stream of a page that is left.
    const isMissing = /^Failed to load resource: .*(400|404|net::ERR_(ABORTED|NETWORK_CHANGED|INCOMPLETE_CHUNKED_ENCODING))/.test(message.text());
    if (message.type() === "error" && !isMissing && !expected.test(message.text())) faults.push(message.text());
  });
  page.on("pageerror", (error) => {
    // Chromium skips the fade between two pages when the second is late; no script of ours starts it.
    if (!error.message.startsWith("Transition was ")) faults.push(error.message);
  });
  page.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  try {
    await check(page, context);
    assert.deepEqual(faults, []);
  } finally {
    await context.close();
  }
}

/** Fails if axe-core finds anything. axe is run by the debugger, which the page's policy does not hold back. */
export async function withoutViolations(page, what) {
  const session = await page.context().newCDPSession(page);
  const run = async (expression) => {
    const { result, exceptionDetails } = await session.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails));
    return result.value;
  };
  await run(`${axe};true`);
  const options = JSON.stringify({ runOnly: { type: "tag", values: TAGS }, resultTypes: ["violations"] });
  const violations = await run(`axe.run(document, ${options}).then(r => r.violations.map(v => v.id + ": " + v.nodes.slice(0, 3).map(n => n.html).join(" | ")))`);
  assert.deepEqual(violations, [], what);
}

// The demo as a newcomer meets it: every page has something to show; and the pictures of the README, with --images FOLDER.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { onPage } from "./browser.mjs";
import { until } from "./relay.mjs";

const MAX_BYTES = 300_000;
const SIZE = { width: 1280, height: 960 };
const STATUSES = ["delivered", "waiting", "dead", "rejected", "skipped", "duplicate"];
/** For the pictures, the charts need some minutes; without pictures nobody waits for that. */
const PICTURE_AGE = 150_000;

/** The address of the dashboard, as the demo prints it. */
async function startDemo(binary) {
  const demo = spawn(binary, ["demo"], { env: { TMPDIR: process.env.TMPDIR ?? "/tmp" }, stdio: ["ignore", "pipe", "ignore"] });
  const lines = [];
  createInterface({ input: demo.stdout }).on("line", (line) => lines.push(line));
  const address = await until("the demo prints the dashboard's address", () => lines.find((line) => line.includes("Dashboard"))?.match(/http:\S+/)?.[0]);
  return { demo, address };
}

export async function test_15_the_demo_has_something_on_every_page(browser, _, { binary, images }) {
  const { demo, address } = await startDemo(binary);
  const api = async (path) => (await fetch(address + path)).json();
  try {
    for (const status of STATUSES) {
      await until(`an event is ${status}`, async () => (await api(`/api/events?status=${status}`)).events?.length > 0);
    }
    await until("a call was tried again, and one was held", async () => {
      const { counts } = await api("/api/overview");
      return counts.retried > 0 && counts.held > 0;
    });
    await until("a request was turned away", async () => (await api("/api/door")).groups.length > 0);
    if (images) await new Promise((resolve) => setTimeout(resolve, PICTURE_AGE));
    const [rejected] = (await api("/api/events?status=rejected&code=reject.missing&most=1")).events;
    const pages = [["overview", "/"], ["event", `/events/${rejected.id}`], ["failures", "/failures"], ["tester", `/tester?event=${rejected.id}&mapping=Track%20Calls`]];
    for (const colorScheme of ["light", "dark"]) {
      await onPage(browser, { colorScheme, viewport: SIZE }, async (page) => {
        for (const [name, path] of pages) {
          await page.goto(address + path);
          if (name === "tester") {
            const draft = await page.inputValue("textarea[name=draft]");
            const path = (text) => `{ "@path" = "${text}" }`;
            const both = `{ "@if" = { exists = ${path("$.userId")}, then = ${path("$.userId")}, else = ${path("$.properties.user_id")} } }`;
            await page.fill("textarea[name=draft]", draft.replace(path("$.userId"), both));
            await page.getByRole("button", { name: "Check the effect" }).click();
            await page.getByText("kept rejects would be fixed").waitFor();
          }
          // As high as the page: the navigation is as high as the window.
          const height = await page.evaluate(() => document.documentElement.scrollHeight);
          await page.setViewportSize({ ...SIZE, height: name === "overview" ? height : SIZE.height });
          // The browser may still paint a page that was just loaded.
          const shot = await until(`${name} is painted in ${colorScheme}`, async () => {
            const taken = await page.screenshot();
            return taken.length > 20_000 && taken;
          });
          assert.ok(shot.length < MAX_BYTES, `${name} ${colorScheme}: ${shot.length} bytes`);
          if (images) {
            mkdirSync(images, { recursive: true });
            const file = join(images, `${name}-${colorScheme}.png`);
            writeFileSync(file, shot);
          }
        }
      });
    }
  } finally {
    demo.kill("SIGINT");
    await new Promise((resolve) => demo.on("exit", resolve));
  }
}

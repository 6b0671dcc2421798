// The dashboard in headless Chromium: `node run.mjs --binary PROGRAM [--images FOLDER] [--only WORD]`, with the relay's program.
// Each test starts a relay of its own. Prints each test and how long it took; exits 1 if one failed.
import { parseArgs } from "node:util";
import { launch } from "./browser.mjs";
import { World } from "./relay.mjs";
import * as events from "./events.mjs";
import * as failures from "./failures.mjs";
import * as flow from "./flow.mjs";
import * as pages from "./pages.mjs";
import * as pictures from "./pictures.mjs";
import * as safety from "./safety.mjs";
import * as sessions from "./sessions.mjs";

const { values } = parseArgs({ options: { binary: { type: "string" }, images: { type: "string" }, only: { type: "string" } } });
/** Tests at once. Most of their time is waiting. */
const LANES = 2;

const browser = await launch();
const tests = [pictures, flow, events, failures, pages, safety, sessions].flatMap((suite) => Object.entries(suite));
const wanted = tests.filter(([name]) => name.startsWith("test_") && (!values.only || name.includes(values.only)));
let failed = 0;

async function run([name, test]) {
  const began = Date.now();
  const worlds = [];
  const start = async (toml, files) => {
    worlds.push(await World.start(values.binary, toml, files));
    return worlds.at(-1);
  };
  try {
    await test(browser, start, values);
    console.log(`ok ${name} (${Date.now() - began} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error.stack ?? error}`);
  } finally {
    for (const world of worlds) world.stop();
  }
}

async function lane() {
  for (let next = wanted.shift(); next; next = wanted.shift()) await run(next);
}
await Promise.all(Array.from({ length: LANES }, lane));
await browser.close();
process.exit(failed ? 1 : 0);

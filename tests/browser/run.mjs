// The dashboard in headless Chromium: `node run.mjs --admin URL --relay URL --sandbox URL --mappings FILE`, with a
// relay that runs and whose only mapping file is FILE.
// Prints each check; exits 1 if one failed.
import { parseArgs } from "node:util";
import { launch } from "./browser.mjs";
import * as flow from "./flow.mjs";
import * as pages from "./pages.mjs";

const { values } = parseArgs({ options: { admin: { type: "string" }, relay: { type: "string" }, sandbox: { type: "string" }, mappings: { type: "string" } } });
const browser = await launch();
let failed = 0;
for (const suite of [flow, pages]) {
  for (const [name, test] of Object.entries(suite)) {
    const began = Date.now();
    try {
      await test(browser, values);
      console.log(`ok ${name} (${Date.now() - began} ms)`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${name}: ${error.stack ?? error}`);
    }
  }
}
await browser.close();
process.exit(failed ? 1 : 0);

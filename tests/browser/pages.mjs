// Every page in both themes and on a phone: axe-core finds nothing, nothing is wider than the screen, no fault on the console.
import assert from "node:assert/strict";
import { onPage, withoutViolations } from "./browser.mjs";

const PAGES = ["/", "/events", "/failures", "/failures/replays", "/tester", "/events/0000000000000", "/setup", "/mappings", "/destinations/accoil", "/failures/door", "/accounts", "/syncs", "/settings", "/api", "/destinations/none"];

async function turnSomethingAway({ relay }) {
  await fetch(`${relay}/v1/track`, { method: "POST", headers: { authorization: "Bearer wk_wrong-key-of-some-length" }, body: "{}" });
}

export async function every_page_is_accessible_in_both_themes(browser, urls) {
  await turnSomethingAway(urls);
  for (const colorScheme of ["light", "dark"]) {
    await onPage(browser, { colorScheme }, async (page) => {
      for (const path of PAGES) {
        await page.goto(urls.admin + path);
        await withoutViolations(page, `${path} ${colorScheme}`);
      }
    });
  }
}

export async function no_page_is_wider_than_a_phone_or_a_doubled_zoom(browser, urls) {
  for (const viewport of [{ width: 360, height: 640 }, { width: 680, height: 450 }]) {
    await onPage(browser, { viewport }, async (page) => {
      for (const path of PAGES) {
        await page.goto(urls.admin + path);
        const width = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(width <= viewport.width, `${path} at ${viewport.width} px is ${width} px wide`);
      }
    });
  }
}

export async function a_destination_is_paused_and_resumed_without_scripts(browser, urls) {
  await onPage(browser, { javaScriptEnabled: false }, async (page) => {
    await page.goto(`${urls.admin}/destinations/accoil`);
    await page.getByRole("button", { name: "Pause sending" }).click();
    await page.waitForSelector("text=Paused: its calls wait until you resume it.");
    await page.getByRole("button", { name: "Resume" }).click();
    await page.waitForSelector("text=Resumed: its calls go out again.");
  });
}

export async function keys_lead_to_pages_and_are_off_in_fields(browser, urls) {
  await onPage(browser, {}, async (page) => {
    await page.goto(`${urls.admin}/setup`);
    await page.keyboard.press("g");
    await page.keyboard.press("m");
    await page.waitForURL("**/mappings");
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "find");
    await page.keyboard.type("g m ?");
    assert.equal(await page.inputValue("#find"), "g m ?");
    await page.locator("h1").click();
    await page.keyboard.press("?");
    await page.waitForSelector("dialog[open]");
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("dialog[open]").count(), 0);
  });
}

export async function the_theme_is_chosen_and_kept(browser, urls) {
  await onPage(browser, { colorScheme: "light" }, async (page) => {
    await page.goto(`${urls.admin}/setup`);
    await page.click("text=dark theme");
    await page.waitForURL("**/setup");
    assert.equal(await page.getAttribute("html", "data-theme"), "dark");
    await page.goto(`${urls.admin}/mappings`);
    assert.equal(await page.getAttribute("html", "data-theme"), "dark");
  });
}

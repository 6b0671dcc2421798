// Every page in both themes and on a phone: axe-core finds nothing, nothing is wider than the screen, no fault on the console.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onPage, withoutViolations } from "./browser.mjs";
import { USUAL, until } from "./relay.mjs";

const PAGES = ["/", "/events", "/failures", "/failures/replays", "/tester", "/events/0000000000000", "/setup", "/mappings", "/destinations/accoil",
  "/failures/door", "/accounts", "/syncs", "/settings", "/api", "/destinations/none", "/login"];

/** A relay with something on every page; the addresses of an event and of a group, too. */
async function furnished(start) {
  const world = await start();
  await world.post({ type: "track" }, { key: "a-wrong-key-of-some-length" });
  await world.has(await world.track("u-1"), "delivered");
  const refused = await world.track(undefined, "Report Created", { properties: { user_id: "u-1", list: [1, 2.5, true, null, "x".repeat(300)] } });
  const [group] = (await world.api("/api/failures")).groups;
  return { world, pages: [...PAGES, `/events/${refused}`, `/failures/${group.key}`, `/tester?event=${refused}&mapping=Track%20Calls`] };
}

export async function test_every_page_is_accessible_in_both_themes(browser, start) {
  const { world, pages } = await furnished(start);
  for (const colorScheme of ["light", "dark"]) {
    await onPage(browser, { colorScheme }, async (page) => {
      for (const path of pages) {
        await page.goto(world.admin + path);
        await withoutViolations(page, `${path} ${colorScheme}`);
      }
    });
  }
}

export async function test_14_no_page_is_wider_than_a_phone_or_a_doubled_zoom(browser, start) {
  const { world, pages } = await furnished(start);
  // At 200 % a window of 1360 by 900 shows 680 by 450.
  for (const viewport of [{ width: 360, height: 640 }, { width: 680, height: 450 }]) {
    await onPage(browser, { viewport }, async (page) => {
      for (const path of pages) {
        await page.goto(world.admin + path);
        const width = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(width <= viewport.width, `${path} at ${viewport.width} px is ${width} px wide`);
        const links = await page.locator(".rail a:visible").evaluateAll((links) => links.map((link) => link.getBoundingClientRect().height));
        assert.ok(links.every((height) => height >= 44), `${path}: places of the bar are ${links} px high`);
      }
      await page.goto(`${world.admin}/events`);
      await withoutViolations(page, `events at ${viewport.width} px`);
    });
  }
}

export async function test_15_forced_colours_and_reduced_motion_keep_every_state_visible(browser, start, { images }) {
  const { world, pages } = await furnished(start);
  await onPage(browser, { forcedColors: "active", reducedMotion: "reduce" }, async (page) => {
    for (const path of pages) {
      await page.goto(world.admin + path);
      const bare = await page.locator(".tag:visible, .btn:visible").evaluateAll((all) => all.filter((one) => getComputedStyle(one).borderTopStyle === "none").length);
      assert.equal(bare, 0, `${path}: tags and buttons have borders where colours are the reader's`);
    }
    for (const [name, path] of [["overview", "/"], ["event", pages.at(-3)]]) {
      await page.goto(world.admin + path);
      const shot = await page.screenshot();
      assert.ok(shot.length > 10_000, `${name}: ${shot.length} bytes`);
      if (!images) continue;
      mkdirSync(images, { recursive: true });
      writeFileSync(join(images, `${name}-forced-colours.png`), shot);
    }
    const rules = await page.evaluate(() => [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]).filter((rule) => rule.cssText.includes("view-transition")).map((rule) => rule.conditionText));
    assert.deepEqual(rules, ["(prefers-reduced-motion: no-preference)"], "motion only for those who want it");
  });
}

export async function test_16_without_scripts_everything_is_readable_and_a_replay_works(browser, start) {
  const { world, pages } = await furnished(start);
  await onPage(browser, { javaScriptEnabled: false }, async (page) => {
    for (const path of pages) {
      await page.goto(world.admin + path);
      assert.ok((await page.textContent("main")).trim().length > 20, path);
    }
    await page.goto(`${world.admin}/events`);
    await page.selectOption("select[name=status]", "rejected");
    await page.getByRole("button", { name: "Filter" }).click();
    assert.equal(await page.locator("#events tbody tr").count(), 1);
    await page.locator("#events .row-link").click();
    await page.getByText("A required field is missing").waitFor();
    await page.goto(`${world.admin}/failures`);
    await page.locator(".row-link").first().click();
    await page.getByText("Replay 1…").click();
    await page.getByRole("button", { name: "Dry run" }).click();
    await page.getByText("Dry run: 0 would be sent, 1 are still refused").waitFor();
    await page.goto(`${world.admin}/destinations/accoil`);
    await page.getByRole("button", { name: "Pause sending" }).click();
    await page.waitForSelector("text=Paused: its calls wait until you resume it.");
    await page.getByRole("button", { name: "Resume" }).click();
    await page.waitForSelector("text=Resumed: its calls go out again.");
  });
}

export async function test_keys_lead_to_pages_and_are_off_in_fields(browser, start) {
  const world = await start();
  await onPage(browser, {}, async (page) => {
    await page.goto(`${world.admin}/setup`);
    for (const key of ["g", "m"]) await page.keyboard.press(key);
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
    await page.goto(`${world.admin}/settings`);
    await page.selectOption("select[name=keys]", "off");
    await page.getByRole("button", { name: "Save" }).click();
    await page.keyboard.press("?");
    assert.equal(await page.locator("dialog[open]").count(), 0, "keys can be switched off");
  });
}

export async function test_the_theme_is_chosen_and_kept(browser, start) {
  const world = await start();
  await onPage(browser, { colorScheme: "light" }, async (page) => {
    await page.goto(`${world.admin}/setup`);
    await page.click("text=dark theme");
    await page.waitForURL("**/setup");
    assert.equal(await page.getAttribute("html", "data-theme"), "dark");
    await page.goto(`${world.admin}/mappings`);
    assert.equal(await page.getAttribute("html", "data-theme"), "dark");
  });
}

export async function test_setup_shows_the_real_address_and_a_copied_line_works(browser, start) {
  const world = await start();
  await onPage(browser, {}, async (page) => {
    await page.goto(`${world.admin}/setup`);
    await page.getByText("waiting for the first event").first().waitFor();
    const lines = await page.locator("pre", { hasText: "/v1/track" }).textContent();
    const [, url] = lines.match(/curl (\S+)/);
    assert.equal(url, `${world.url}/v1/track`);
    const answer = await fetch(url, { method: "POST", headers: { authorization: "Bearer web-key" }, body: lines.match(/-d '(.*)'/)[1] });
    assert.equal(answer.status, 200);
    await page.reload();
    await page.getByText("1 events since the start").waitFor();
  });
}

export async function test_17_without_a_history_or_with_a_broken_one_the_relay_goes_on(browser, start) {
  const off = await start(`${USUAL}[history]\nurl = "off"\n`);
  await off.track(undefined);
  await off.track("u-1");
  await onPage(browser, {}, async (page) => {
    await page.goto(`${off.admin}/events`);
    await page.getByText("History is off").waitFor();
    assert.equal(await page.locator("#events tbody tr").count(), 1, "failures are still listed");
    await withoutViolations(page, "events without a history");
    await page.goto(off.admin);
    await page.getByText("There are no charts: the history is off").waitFor();
  });

  const broken = await start();
  await broken.has(await broken.track("u-1"), "delivered");
  await broken.end("SIGTERM");
  const file = join(broken.folder, "relay.db.history");
  const bytes = readFileSync(file);
  writeFileSync(file, Buffer.concat([Buffer.from("no database at all"), bytes.subarray(18)]));
  await broken.startRelay();
  assert.match(broken.log, /history/);
  const id = await broken.track("u-2", "After The Damage");
  await broken.has(id, "delivered");
  await until("it is listed", async () => {
    const { events } = await broken.api("/api/events?name=After%20The%20Damage");
    return events.length === 1;
  });
}

/** A disk of a few megabytes; null if this user may not mount one. */
function smallDisk() {
  const folder = mkdtempSync(join(tmpdir(), "accoil-relay-disk-"));
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", folder]);
  const remove = () => {
    if (status === 0) spawnSync("umount", ["-l", folder]);
    rmSync(folder, { recursive: true, force: true });
  };
  if (status === 0) return { folder, remove };
  remove();
  return null;
}

export async function test_17_a_full_disk_of_the_history_alone_costs_no_event(browser, start) {
  const disk = smallDisk();
  if (!disk) return console.log("  not tested: no disk can be mounted here");
  try {
    const world = await start(`${USUAL}[history]\nurl = "sqlite:${join(disk.folder, "relay.db.history")}"\n`);
    await world.has(await world.track("u-1", "Before"), "delivered");
    const { bavail, bsize } = statfsSync(disk.folder);
    // Another page of the history may come in between; it is full all the same.
    spawnSync("dd", ["if=/dev/zero", `of=${join(disk.folder, "filler")}`, `bs=${bsize}`, `count=${bavail}`]);
    let number = 0;
    await until("the history is full", async () => {
      const answer = await fetch(`${world.url}/v1/track`, { method: "POST", headers: { authorization: "Bearer web-key" },
        body: JSON.stringify({ type: "track", userId: `u-${number++}`, event: "While Full", properties: { text: "x".repeat(20_000) } }) });
      assert.equal(answer.status, 200, "events are taken as before");
      return (await world.api("/api/history")).paused;
    });
    await until("all are delivered", async () => {
      const { counts } = await world.api("/api/overview");
      return counts.delivered === number + 1;
    });
    await onPage(browser, {}, async (page) => {
      await page.goto(world.admin);
      await page.getByText("The history records no events").waitFor();
      await withoutViolations(page, "overview of a full disk");
      await page.goto(`${world.admin}/events`);
      await page.getByText("New events are not listed").waitFor();
      await withoutViolations(page, "events of a full disk");
      rmSync(join(disk.folder, "filler"));
      await until("it goes on by itself", async () => !(await world.api("/api/history")).paused);
      const id = await world.track("u-1", "After");
      await world.has(id, "delivered");
      await page.goto(`${world.admin}/events?name=After`);
      await page.locator("#events .row-link", { hasText: "After" }).waitFor();
      assert.equal(await page.getByText("New events are not listed").count(), 0);
    });
  } finally {
    disk.remove();
  }
}

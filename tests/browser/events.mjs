// The overview's numbers, the list of events: filters, paging, live; and the page of one event.
import assert from "node:assert/strict";
import { onPage, withoutViolations } from "./browser.mjs";
import { USUAL, until } from "./relay.mjs";

const TO_ACCOIL = USUAL.replace(/kind = "segment"/, '$&\ndestinations = ["accoil"]').replace(/kind = "amplitude"/, '$&\ndestinations = ["accoil"]\nexclude_events = ["Secret"]');
const NARROW = `${TO_ACCOIL}
[[sources]]
name = "narrow"
kind = "segment"
write_key = "narrow-key"
destinations = ["narrow"]

[[destinations]]
name = "narrow"
api_key = "accoil-key"
base_url = "\${SANDBOX}"
mappings = ["narrow.toml"]

[deliver]
retry_initial = "1h"
retry_max = "1h"
`;
const ONLY_TRACKS = `[[mappings]]
name = "Tracks"
action = "track"
trigger = 'type = "track"'
`;

/** One event of each outcome; each with the words that its page must have, and its button, if it has one. */
async function postOneOfEach(world) {
  await world.fault({ user: "waits", status: 503, times: 1000 });
  await world.fault({ user: "dies", status: 400, body: "no such report", times: 1000 });
  const amplitude = (event) => world.post({ api_key: "product-key", events: [event] }, { path: "/2/httpapi" });
  const account = { user_id: "u-9", event_type: "Song Played", groups: { company: ["acme"] }, group_properties: { company: { acme: { plan: "pro" } } } };
  await world.post({ type: "track" }, { key: "a-wrong-key" });
  const first = await world.track("u-1", "Invite Sent", { messageId: "m-1" });
  await world.has(first, "delivered");
  const held = await amplitude({ ...account, insert_id: "i-1" });
  await world.has(held, "delivered");
  const waits = await world.track("waits", "First");
  await world.has(waits, "waiting");
  return [
    [await world.post(undefined, { path: "/segment", body: '{"type":"track",' }), "rejected", "Not readable as JSON", "Fix in the tester"],
    [await world.post({ type: "alias", userId: "u-1", previousId: "a" }, { path: "/v1/alias" }), "skipped", "Accoil has no alias call"],
    [await world.post({ type: "page", userId: "u-1" }, { path: "/v1/page" }), "skipped", "no name, category or title"],
    [await amplitude({ event_type: "Song Played", device_id: "d-1" }), "skipped", "No user id"],
    [await world.track("u-1", "Off", { integrations: { All: false } }), "skipped", "switches this destination off"],
    [await amplitude({ event_type: "Secret", user_id: "u-1" }), "skipped", "Excluded by the source's settings"],
    [await world.post({ type: "identify", userId: "u-1" }, { path: "/v1/identify", key: "narrow-key" }), "skipped", "No mapping's trigger holds"],
    [await world.track("u-1", "Invite Sent", { messageId: "m-1" }), "duplicate", "Sent before", first],
    [await world.track(undefined, "Report Created"), "rejected", "A required field is missing", "Fix in the tester"],
    [await world.post({ type: "poke", userId: "u-1" }, { path: "/segment" }), "rejected", "An unknown type of event", "Fix in the tester"],
    [await world.track("undefined", "Report Created"), "rejected", "A placeholder instead of an id", "Fix in the tester"],
    [await amplitude({ ...account, insert_id: "i-2" }), "delivered", "Held"],
    [first, "delivered", "Delivered", "Events of u-1"],
    [await world.post({ type: "identify", userId: "u-2", traits: { email: 12345 } }, { path: "/v1/identify" }), "delivered", "left out"],
    [waits, "waiting", "Accoil answers with an error", "Retry now"],
    [await world.track("waits", "Second"), "waiting", "Behind another call", "an earlier call"],
    [await world.track("dies", "Third"), "dead", "Accoil refused the call", "Show all with this reason"],
  ];
}

/** The sum of a metric's samples that have these labels. */
function sum(metrics, name, labels = "") {
  const lines = metrics.split("\n").filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.filter((line) => line.includes(labels)).reduce((total, line) => total + Number(line.split(" ").pop()), 0);
}

export async function test_02_and_05_the_strip_equals_the_metrics_and_each_outcome_has_its_page(browser, start) {
  const world = await start(NARROW, { "narrow.toml": ONLY_TRACKS });
  const samples = await postOneOfEach(world);
  for (const [id, status] of samples) await world.has(id, status);
  await onPage(browser, {}, async (page) => {
    const { counts, stored } = await until("all is counted", async () => {
      const view = await world.api("/api/overview");
      return view.counts.received === 18 && view.stored.waiting.count === 2 && view.counts.dead === 1 && view;
    });
    await page.goto(world.admin);
    const metrics = await (await fetch(`${world.admin}/metrics`)).text();
    const outcome = (name) => sum(metrics, "accoil_relay_source_events_total", `outcome="${name}"`);
    const shown = async (name) => Number((await page.textContent(`#n-${name}`)).replaceAll(",", ""));
    const received = ["accepted", "duplicate", "skipped", "rejected"].map(outcome).reduce((total, one) => total + one);
    for (const [name, api, metric] of [
      ["received", counts.received, received],
      ["turned-away", counts.turned_away, sum(metrics, "accoil_relay_refused_requests_total")],
      ["skipped", counts.skipped, outcome("skipped")],
      ["rejected", counts.rejected, outcome("rejected")],
      ["delivered", counts.delivered, sum(metrics, "accoil_relay_destination_delivered_total")],
      ["waiting", stored.waiting.count, sum(metrics, "accoil_relay_outbox_waiting_calls")],
      ["dead", stored.dead_letters.count, sum(metrics, "accoil_relay_outbox_kept", 'kind="dead')],
    ]) {
      assert.deepEqual([await shown(name), metric], [api, api], name);
    }
    assert.deepEqual([counts.skipped, counts.duplicates, counts.rejected, counts.held > 0], [6, 1, 4, true]);
    await withoutViolations(page, "overview with events");

    for (const [id, status, words, button] of samples) {
      await page.goto(`${world.admin}/events/${id}`);
      assert.equal(await page.locator(".head .tag").textContent(), status, id);
      const text = await page.textContent("main");
      assert.ok(text.toLowerCase().includes(words.toLowerCase()), `${words}: ${text}`);
      if (button) assert.ok(text.includes(button), `${button}: ${text}`);
      await withoutViolations(page, `event ${words}`);
    }
    await page.goto(`${world.admin}/failures/door`);
    assert.match(await page.textContent("main"), /A wrong write key at \/v1\/track/);
  });
}

export async function test_03_filters_and_pages_show_each_event_once_while_others_arrive(browser, start) {
  const world = await start();
  const [ids, posted] = [[], []];
  for (let number = 0; number < 230; number += 1) {
    const type = number % 5 === 0 ? "identify" : "track";
    const name = type === "track" ? (number % 10 === 7 ? "Faulty" : `E${number % 4}`) : undefined;
    const event = { type, event: name, userId: name === "Faulty" ? undefined : `u-${number % 3}`, messageId: `m-${number}`, properties: { note: number === 33 ? "needle" : "hay" } };
    ids.push(await world.post(event, { path: `/v1/${type}` }));
    posted.push(event);
  }
  await until("all are recorded", async () => (await world.api("/api/history")).events >= 230);
  await onPage(browser, {}, async (page) => {
    const rows = page.locator("#events tbody tr");
    for (const [filter, fits, word] of [
      ["status=rejected", (event) => event.event === "Faulty", "rejected"], ["source=web", () => true, "web"], ["destination=accoil", (event) => event.userId, "202"],
      ["type=identify", (event) => event.type === "identify", "identify"], ["name=E1", (event) => event.event === "E1", "E1"], ["user=u-1", (event) => event.userId === "u-1", "u-1"],
      ["message_id=m-12", (event) => event.messageId === "m-12", "E0"], ["mapping=Identify%20Calls", (event) => event.type === "identify", "identify"],
      ["code=reject.missing", (event) => event.event === "Faulty", "Faulty"], ["text=needle", (event) => event.properties.note === "needle", "E1"], ["from=-1h", () => true, "web"],
      ["user=u-1&type=identify&status=delivered", (event) => event.userId === "u-1" && event.type === "identify", "u-1"],
    ]) {
      const count = Math.min(posted.filter(fits).length, 100);
      await page.goto(`${world.admin}/events?${filter}`);
      assert.equal(Math.min(await rows.count(), 100), count, filter);
      assert.ok((await rows.first().textContent()).includes(word), filter);
      const before = await rows.allTextContents();
      await page.reload();
      assert.equal(await rows.count(), before.length, `${filter} after a reload`);
    }
    await page.goto(`${world.admin}/events?user=u-1`);
    await page.selectOption("select[name=type]", "identify");
    await page.waitForURL("**type=identify**");
    assert.equal(await rows.count(), posted.filter((event) => event.userId === "u-1" && event.type === "identify").length);
    await page.goBack();
    assert.equal(await page.inputValue("input[name=user]"), "u-1");

    await page.goto(`${world.admin}/events`);
    const seen = [];
    for (;;) {
      const links = await page.locator("#events .row-link").evaluateAll((links) => links.map((link) => link.getAttribute("href").split("/").pop()));
      seen.push(...links);
      await world.track("u-late", "Late");
      const older = page.getByRole("link", { name: "Older" });
      if ((await older.count()) === 0) break;
      await older.click();
    }
    assert.equal(new Set(seen).size, seen.length, "none twice");
    assert.deepEqual(ids.filter((id) => !seen.includes(id)), [], "none missed");
  });
}

const liveState = (page, words) => page.locator("#live-state", { hasText: words }).waitFor();

export async function test_04_new_events_come_by_themselves(browser, start) {
  const world = await start();
  const viewers = async () => (await world.api("/api/history")).viewers;
  await onPage(browser, { expected: /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/ }, async (page, context) => {
    await page.goto(`${world.admin}/events?user=live-1`);
    await liveState(page, "live");
    const began = Date.now();
    await world.track("live-1", "Live Event");
    await world.track("live-2", "Other Event");
    const rows = page.locator("#events tbody tr");
    await rows.filter({ hasText: "Live Event" }).waitFor();
    console.log(`  a live line came after ${Date.now() - began} ms`);
    assert.equal(await rows.count(), 1, "the filter comes before the stream");
    await page.getByRole("button", { name: "Pause" }).click();
    await liveState(page, "Paused");
    await until("a pause closes the stream", async () => (await viewers()) === 0);
    await page.locator("#events .row-link").click();
    await page.locator("#panel h1", { hasText: "Live Event" }).waitFor();
    await withoutViolations(page, "events with panel");
    await page.keyboard.press("Escape");
    assert.ok(await page.locator("#panel").isHidden());
    await page.getByRole("button", { name: "Go live" }).click();
    await liveState(page, "live");

    // A tab that nobody sees has no stream.
    const hide = (isHidden, tab = page) => tab.evaluate((isHidden) => {
      Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, isHidden);
    await hide(true);
    await until("the stream is closed", async () => (await viewers()) === 0);
    await hide(false);
    await until("the stream is open again", async () => (await viewers()) === 1);

    // The relay restarts, and gets an event before the page has found it again.
    await world.end("SIGTERM");
    await liveState(page, "trying again");
    await world.startRelay();
    await world.track("live-1", "In The Gap");
    await rows.filter({ hasText: "In The Gap" }).waitFor();
  });
}

export async function test_04_eight_lists_in_front_are_all_live_and_leave_room_for_a_page(browser, start) {
  const world = await start();
  const viewers = async () => (await world.api("/api/history")).viewers;
  await onPage(browser, {}, async (page, context) => {
    const tabs = [page];
    while (tabs.length < 8) tabs.push(await context.newPage());
    for (const tab of tabs) {
      await tab.goto(`${world.admin}/events`);
      await liveState(tab, "live");
    }
    assert.equal(await viewers(), 3, "three have a stream, the others ask");
    await world.track("u-1", "Seen By All");
    for (const tab of tabs) await tab.locator("#events .row-link", { hasText: "Seen By All" }).waitFor();
    const asked = Date.now();
    await tabs[7].goto(`${world.admin}/failures`);
    console.log(`  with eight lists open, another page came after ${Date.now() - asked} ms`);
    await tabs[1].close();
    await until("another tab takes the free stream", async () => {
      const states = await Promise.all(tabs.slice(3, 7).map((tab) => tab.textContent("#live-state")));
      return states.filter((state) => state.includes("a second")).length === 1;
    });
  });
}

export async function test_07_attempts_the_call_in_front_a_retry_and_a_pause(browser, start) {
  const [world, quick] = [await start(`${USUAL}[deliver]\nretry_initial = "1h"\nretry_max = "1h"\n`), await start()];
  await quick.fault({ user: "asks", status: 503, retry_after: "1", times: 2 });
  await world.fault({ user: "waits", status: 503, times: 1000, body: "out for lunch" });
  const asks = await quick.track("asks", "Patience");
  const first = await world.track("waits", "First");
  const second = await world.track("waits", "Second");
  await world.has(first, "waiting");
  await world.has(second, "waiting");
  await quick.has(asks, "delivered");
  await onPage(browser, {}, async (page) => {
    await page.goto(`${quick.admin}/events/${asks}`);
    const attempts = await page.locator(".timeline li").allTextContents();
    assert.deepEqual(attempts.map((attempt) => attempt.match(/(503|202) in/)?.[1]), ["503", "503", "202"], `${attempts}`);
    await page.goto(`${world.admin}/events/${second}`);
    await page.getByRole("link", { name: "an earlier call" }).click();
    await page.waitForURL(`**/events/${first}`);
    assert.match(await page.textContent("main"), /out for lunch/);
    await world.clearFaults();
    await page.getByRole("button", { name: "Retry now" }).click();
    await page.getByText("Its waiting calls are tried now.").waitFor();
    await world.has(second, "delivered");

    await page.goto(`${world.admin}/destinations/accoil`);
    await page.getByRole("button", { name: "Pause sending" }).click();
    await page.getByText("Paused: its calls wait").waitFor();
    await world.restart();
    await page.goto(`${world.admin}/destinations/accoil`);
    const late = await world.track("u-1", "While Paused");
    await page.locator(".tag", { hasText: "paused" }).first().waitFor();
    await world.has(late, "waiting").catch(() => world.has(late, "accepted"));
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByText("Resumed: its calls go out again.").waitFor();
    await world.has(late, "delivered");
  });
}

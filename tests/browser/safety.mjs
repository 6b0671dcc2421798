// What senders, Accoil and web pages may try: hostile texts everywhere, forms of other sites, hidden values.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { onPage } from "./browser.mjs";
import { USUAL, until } from "./relay.mjs";

const HOSTILE = [`<script>window.__xss=1</script>`, `"><img src=x onerror=window.__xss=1>`, `' onmouseover='window.__xss=1`, `</template><script>window.__xss=1</script>`,
  `</textarea><script>window.__xss=1</script>`, `</title><script>window.__xss=1</script>`, `javascript:window.__xss=1`, "{{7*7}}", "${7*7}", "&#x3C;script", "\\u003cscript",
  "\u2028\u2029\u202e", "a\u0000b", "\u001b[31m", "__proto__", "a\r\nset-cookie: x=1", "=cmd()", "\ud800 alone"];
/** What a page shows of it: some characters do not exist for a parser of HTML, and half a pair is no character. */
const shown = (text) => text.replaceAll("\r\n", "\n").replaceAll("\u0000", "").toWellFormed();

/** A page's own text is the text that was sent, and the page has only elements of its templates. */
async function isHarmless(page, where) {
  assert.equal(await page.evaluate(() => window.__xss), undefined, where);
  assert.equal(await page.locator("main img, main script, main iframe, main [onmouseover], main [onerror], a[href^='javascript:']").count(), 0, where);
}

export async function test_hostile_text_stays_text_in_every_place(browser, start) {
  const nasty = HOSTILE.map((text, number) => `[[mappings]]\nname = ${JSON.stringify(`${number} ${text.replaceAll("\u0000", "").toWellFormed()}`)}\naction = "track"\ntrigger = 'type = "screen"'\n`);
  const accounts = `[accounts]\ntoken = "accoil_test"\nworkspace_id = "123"\nbase_url = "\${SANDBOX}"\n[vitally]\nsecret = "secret"\nbase_url = "\${SANDBOX}"\n`;
  const world = await start(`${USUAL}mappings = ["segment", "amplitude", "nasty.toml"]\n${accounts}`, { "nasty.toml": nasty.join("\n") });
  const ids = [];
  for (const [number, text] of HOSTILE.entries()) {
    await world.fault({ user: `dies-${number}`, status: 400, body: text, times: 9 });
    const event = { type: "track", event: text, userId: text, messageId: `m-${text}`, properties: { [text]: { [text]: text } }, context: { groupId: text } };
    ids.push(await world.post(event), await world.track(undefined, text, { properties: { user_id: text } }), await world.track(`dies-${number}`, text));
    await world.post({ type: "identify", userId: `u-${number}`, traits: { [text]: text, email: text } }, { path: "/v1/identify" });
    await fetch(`${world.url}/${encodeURIComponent(text.toWellFormed())}`, { method: "POST", headers: { "user-agent": text.replace(/[^\x20-\x7e]/g, "?"), authorization: `Bearer ${text.replace(/[^\x21-\x7e]/g, "?")}` }, body: text });
  }
  const webhook = (event) => world.post({ type: "track", event: "Large", ...event }, { path: "/segment" });
  const large = [
    await webhook({ userId: "u-large", event: "x".repeat(1_000_000) }),
    // The event itself is the first of 64 levels.
    await webhook({ userId: "u-deep", properties: JSON.parse(`${'{"a":'.repeat(63)}1${"}".repeat(63)}`) }),
    await webhook({ userId: "u-keys", properties: Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`key ${at}`, at])) }),
  ];
  // The stand-in for Accoil refuses so large a call.
  for (const [number, status] of ["dead", "delivered", "delivered"].entries()) await world.has(large[number], status);
  const body = JSON.stringify({ type: "track", event: HOSTILE[0], anonymousId: HOSTILE[1] });
  const refused = await fetch(`${world.url}/segment`, { method: "POST", headers: { authorization: "Bearer web-key" }, body });
  assert.deepEqual([refused.status, refused.headers.get("content-type").split(";")[0]], [400, "application/json"]);
  for (const [number, text] of HOSTILE.entries()) {
    const account = JSON.stringify({ externalId: `v-${number}`, name: text.toWellFormed(), traits: { plan: text.toWellFormed() } });
    const made = await fetch(`${world.sandbox}/resources/accounts`, { method: "POST", headers: { authorization: `Basic ${btoa("secret:")}` }, body: account });
    assert.equal(made.status, 200, await made.text());
  }
  await until("all are listed", async () => (await world.api("/api/events?most=1")).events.length === 1);
  const groups = (await world.api("/api/failures")).groups.map((group) => `/failures/${group.key}`);
  await onPage(browser, {}, async (page) => {
    const fixed = ["/", "/events", "/failures", "/failures/door", "/mappings", "/destinations/accoil", ...groups.slice(0, 6), ...large.flatMap((id) => [`/events/${id}`, `/tester?event=${id}`])];
    const texts = HOSTILE.filter((text) => text.isWellFormed()).flatMap((text) => [`/events?text=${encodeURIComponent(text)}`, `/events?user=${encodeURIComponent(text)}`, `/find?q=${encodeURIComponent(text)}`]);
    for (const path of [...fixed, ...texts, ...ids.filter(Boolean).map((id) => `/events/${id}`), `/tester?event=${ids[0]}`, `/accounts?match_type=name&match_value=${encodeURIComponent(HOSTILE[0])}`]) {
      await page.goto(world.admin + path).catch((error) => assert.fail(`${path}: ${error.message}`));
      await isHarmless(page, path);
    }
    // The text on the page is the text that was sent.
    for (const [number, text] of HOSTILE.entries()) {
      await page.goto(`${world.admin}/events/${ids[number * 3]}`);
      assert.equal(await page.textContent("h1"), shown(text));
    }
    await page.goto(`${world.admin}/syncs`);
    await page.getByRole("button", { name: "Dry run" }).first().click();
    await page.getByText("Dry run of vitally-to-accoil").waitFor();
    assert.ok((await page.textContent("main")).includes("onerror=window.__xss=1"), "the names of Vitally's accounts are shown");
    await isHarmless(page, "a dry run of Vitally's accounts");
    await page.goto(`${world.admin}/events`);
    await page.locator("#live-state", { hasText: "live" }).waitFor();
    await world.post({ type: "track", event: HOSTILE[1], userId: HOSTILE[1] });
    await page.locator("#events .row-link", { hasText: "onerror" }).first().waitFor();
    await isHarmless(page, "the live list");
  });
}

export async function test_a_form_of_another_site_changes_nothing(browser, start) {
  const world = await start();
  const headers = (site) => ({ "sec-fetch-site": site, "content-type": "application/x-www-form-urlencoded" });
  const forms = [["/destinations/accoil", "do=pause"], ["/mappings", "do=reload"], ["/tester", "do=send&event={}"], ["/syncs/vitally-to-accoil", "do=run"],
    ["/failures/replays/1", "do=cancel"], ["/events/0000000000000", "do=retry"], ["/failures/x", "do=purge"]];
  for (const [path, body] of forms) {
    for (const [site, token] of [["cross-site", "x"], ["same-origin", ""], ["same-origin", "x".repeat(64)]]) {
      const answer = await fetch(world.admin + path, { method: "POST", headers: headers(site), body: `${body}&form_token=${token}`, redirect: "manual" });
      assert.equal(answer.status, 403, `${path} ${site}`);
    }
  }
  for (const path of ["/destinations/accoil?do=pause", "/api/destinations/accoil/pause"]) await fetch(world.admin + path);
  assert.equal((await world.api("/api/destinations")).destinations[0].state, "ok");
  const { headers: framed } = await fetch(world.admin);
  assert.match(framed.get("content-security-policy"), /frame-ancestors 'none'/);
}

export async function test_templates_and_scripts_have_no_way_from_text_to_markup() {
  const root = join(import.meta.dirname, "../../src/admin");
  const read = (folder, ending) => readdirSync(join(root, folder)).filter((name) => name.endsWith(ending)).map((name) => [name, readFileSync(join(root, folder, name), "utf8")]);
  for (const [name, text] of read("pages/templates", ".html")) {
    assert.doesNotMatch(text, /\|\s*safe|\bstyle\s*=|\bon[a-z]+\s*=\s*["']|<script(?! type="module" src=)|javascript:/, name);
    assert.doesNotMatch(text, /<[a-z][^<>]*\s[a-z-]+=\{\{/, `${name}: a value in an attribute is quoted`);
  }
  for (const [name, text] of read("assets", ".js")) {
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\.style\b|setAttribute\("style/, name);
  }
}

export async function test_18_a_redacted_value_occurs_nowhere(browser, start) {
  const value = "hush-hush-1842";
  const world = await start(`${USUAL}[history]\npayloads = "redacted"\n\n[privacy]\nredact = ["properties.secret", "traits.email"]\n`);
  await world.fault({ user: "waits", status: 503, body: `no ${value} here`, times: 1000 });
  await world.fault({ user: "dies", status: 400, body: "no", times: 1000 });
  const live = await fetch(`${world.admin}/api/live`);
  const ids = [];
  for (const user of [undefined, "u-1", "waits", "dies"]) {
    ids.push(await world.post({ type: "identify", userId: user, traits: { email: value, plan: "pro" }, properties: { secret: value } }, { path: "/v1/identify" }));
  }
  await world.has(ids[1], "delivered");
  await world.has(ids[2], "waiting");
  await world.has(ids[3], "dead");
  const reader = live.body.getReader();
  let streamed = "";
  while (!ids.every((id) => streamed.includes(id))) streamed += Buffer.from((await reader.read()).value).toString();
  await reader.cancel();
  assert.ok(!streamed.includes(value), "the live stream");
  await onPage(browser, {}, async (page) => {
    for (const path of ["/", "/events", "/failures", "/destinations/accoil", ...ids.flatMap((id) => [`/events/${id}`, `/tester?event=${id}`])]) {
      await page.goto(world.admin + path);
      assert.ok(!(await page.content()).includes(value), path);
    }
  });
  for (const path of ["/api/events", "/api/waiting?payload=true", "/api/failures", "/api/overview", ...ids.flatMap((id) => ["", "/original", "/support", "/explain"].map((part) => `/api/events/${id}${part}`))]) {
    assert.ok(!(await (await fetch(world.admin + path)).text()).includes(value), path);
  }
  await world.end("SIGTERM");
  assert.ok(!world.log.includes(value), "the log");
  for (const name of readdirSync(world.folder).filter((name) => name.includes("history"))) {
    assert.ok(!readFileSync(join(world.folder, name)).includes(value), name);
  }
}

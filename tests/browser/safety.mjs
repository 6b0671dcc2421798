// What senders, Accoil and web pages may try: hostile texts everywhere, forms of other sites, hidden values.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { onPage } from "./browser.mjs";
import { USUAL, until } from "./relay.mjs";

const HOSTILE = [`<script>window.__xss=1</script>`, `"><img src=x onerror=window.__xss=1>`, `' onmouseover='window.__xss=1`, `</template><script>window.__xss=1</script>`,
  `</textarea><script>window.__xss=1</script>`, `</title><script>window.__xss=1</script>`, `javascript:window.__xss=1`, "{{7*7}}", "${7*7}", "&#x3C;script", "\\u003cscript",
  "\u2028\u2029\u202e", "a\u0000b", "\u001b[31m", "__proto__", "a\r\nset-cookie: x=1", "=cmd()"];

/** A page's own text is the text that was sent, and the page has only elements of its templates. */
async function isHarmless(page, where) {
  assert.equal(await page.evaluate(() => window.__xss), undefined, where);
  assert.equal(await page.locator("main img, main script, main iframe, main [onmouseover], main [onerror], a[href^='javascript:']").count(), 0, where);
}

export async function test_hostile_text_stays_text_in_every_place(browser, start) {
  const nasty = HOSTILE.map((text, number) => `[[mappings]]\nname = ${JSON.stringify(`${number} ${text.replaceAll("\u0000", "")}`)}\naction = "track"\ntrigger = 'type = "screen"'\n`);
  const world = await start(`${USUAL}mappings = ["segment", "amplitude", "nasty.toml"]\n`, { "nasty.toml": nasty.join("\n") });
  const ids = [];
  for (const [number, text] of HOSTILE.entries()) {
    await world.fault({ user: `dies-${number}`, status: 400, body: text, times: 9 });
    const event = { type: "track", event: text, userId: text, messageId: `m-${text}`, properties: { [text]: { [text]: text } }, context: { groupId: text } };
    ids.push(await world.post(event), await world.track(undefined, text, { properties: { user_id: text } }), await world.track(`dies-${number}`, text));
    await world.post({ type: "identify", userId: `u-${number}`, traits: { [text]: text, email: text } }, { path: "/v1/identify" });
    await fetch(`${world.url}/${encodeURIComponent(text)}`, { method: "POST", headers: { "user-agent": text.replace(/[^\x20-\x7e]/g, "?"), authorization: `Bearer ${text.replace(/[^\x21-\x7e]/g, "?")}` }, body: text });
  }
  await world.post({ type: "track", userId: "u-large", event: "x".repeat(300_000), properties: JSON.parse(`${'{"a":'.repeat(40)}1${"}".repeat(40)}`) });
  await world.post({ type: "track", userId: "u-keys", event: "Keys", properties: Object.fromEntries(Array.from({ length: 5_000 }, (_, at) => [`key ${at}`, at])) });
  await until("all are listed", async () => (await world.api("/api/events?most=1")).events.length === 1);
  const groups = (await world.api("/api/failures")).groups.map((group) => `/failures/${group.key}`);
  await onPage(browser, {}, async (page) => {
    const fixed = ["/", "/events", "/failures", "/failures/door", "/mappings", "/destinations/accoil", ...groups.slice(0, 6)];
    const texts = HOSTILE.flatMap((text) => [`/events?text=${encodeURIComponent(text)}`, `/events?user=${encodeURIComponent(text)}`, `/find?q=${encodeURIComponent(text)}`]);
    for (const path of [...fixed, ...texts, ...ids.filter(Boolean).map((id) => `/events/${id}`), `/tester?event=${ids[0]}`, `/accounts?match_type=name&match_value=${encodeURIComponent(HOSTILE[0])}`]) {
      await page.goto(world.admin + path).catch((error) => assert.fail(`${path}: ${error.message}`));
      await isHarmless(page, path);
    }
    // The text on the page is the text that was sent.
    await page.goto(`${world.admin}/events/${ids[0]}`);
    assert.equal(await page.textContent("h1"), HOSTILE[0]);
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

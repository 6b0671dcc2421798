// From a failing event to its delivery, as a person who has never seen the program does it.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { onPage, withoutViolations } from "./browser.mjs";

const FIXED = `[[mappings]]
name = "Track Calls"
action = "track"
trigger = 'type = "track"'

[mappings.fields]
event = { "@path" = "$.event" }
userId = { "@if" = { exists = { "@path" = "$.userId" }, then = { "@path" = "$.userId" }, else = { "@path" = "$.properties.user_id" } } }
timestamp = { "@path" = "$.timestamp" }
`;

async function post(relay, event) {
  const headers = { authorization: "Bearer web-key", "content-type": "application/json" };
  const answer = await fetch(`${relay}/v1/track`, { method: "POST", headers, body: JSON.stringify(event) });
  return answer.json();
}

async function delivered({ sandbox }) {
  const answer = await (await fetch(`${sandbox}/received`)).json();
  const calls = Array.isArray(answer) ? answer : Object.values(answer).find(Array.isArray);
  return calls.filter((call) => call.body.event === "Report Created");
}

export async function a_failing_event_is_found_fixed_and_replayed(browser, urls) {
  await onPage(browser, {}, async (page) => {
    const began = Date.now();
    const { ids } = await post(urls.relay, { type: "track", event: "Report Created", properties: { user_id: "u-1842", pages: 12 } });
    await page.goto(urls.admin);
    await page.fill("#find", ids[0]);
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/events/${ids[0]}`);
    const why = page.locator(".why");
    await why.getByText("userId").first().waitFor();
    assert.match(await why.textContent(), /"u-1842" in \$\.properties\.user_id/);
    const took = Date.now() - began;
    assert.ok(took < 10_000, `from the post to the reason: ${took} ms`);
    console.log(`  from the post to the reason on screen: ${took} ms`);
    await withoutViolations(page, "event");

    await page.getByRole("link", { name: "Fix in the tester" }).click();
    assert.match(await page.inputValue("textarea[name=event]"), /Report Created/);
    await page.fill("textarea[name=draft]", FIXED.replace('"track"', '"track'));
    await page.click("button[value=try]");
    await page.locator("[role=alert]").waitFor();
    await page.fill("textarea[name=draft]", FIXED);
    await page.locator("textarea[name=draft]").press("Control+Enter");
    await page.getByText("1 call would be sent").waitFor();
    await withoutViolations(page, "tester");

    writeFileSync(urls.mappings, FIXED);
    await page.goto(`${urls.admin}/mappings`);
    await page.getByRole("button", { name: "Check the files" }).click();
    await page.getByText("The files are well").waitFor();
    await page.getByRole("button", { name: "Reload" }).click();
    await page.getByText("Read again").waitFor();

    await page.goto(`${urls.admin}/failures`);
    await page.locator("tr", { hasText: "userId" }).getByRole("link").click();
    await withoutViolations(page, "group");
    await page.getByText("Replay 1…").click();
    await page.getByRole("button", { name: "Dry run" }).click();
    await page.getByText("Dry run: 1 would be sent, 0 are still refused").waitFor();
    await page.getByRole("button", { name: "Replay 1", exact: true }).click();
    await page.waitForURL("**/failures/replays/*");
    for (let left = 50; (await delivered(urls)).length === 0; left -= 1) {
      assert.ok(left > 0, "the call did not arrive");
      await page.waitForTimeout(100);
    }
    assert.equal((await delivered(urls))[0].body.userId, "u-1842");
    await page.reload();
    await page.getByText("done", { exact: true }).waitFor();
    await page.goto(`${urls.admin}/failures`);
    await page.getByText("Nothing has failed").waitFor();
  });
}

export async function new_events_come_by_themselves(browser, urls) {
  await onPage(browser, {}, async (page) => {
    await page.goto(`${urls.admin}/events?user=live-1`);
    await page.locator("#live-state", { hasText: "live" }).waitFor();
    const began = Date.now();
    await post(urls.relay, { type: "track", event: "Live Event", userId: "live-1" });
    await post(urls.relay, { type: "track", event: "Other Event", userId: "live-2" });
    await page.locator("#events tbody tr", { hasText: "Live Event" }).waitFor();
    console.log(`  a live line came after ${Date.now() - began} ms`);
    assert.equal(await page.locator("#events tbody tr").count(), 1, "the filter comes before the stream");
    await page.getByRole("button", { name: "Pause" }).click();
    await page.locator("#live-state", { hasText: "Paused" }).waitFor();
    await page.locator("#events .row-link").click();
    await page.locator("#panel h1", { hasText: "Live Event" }).waitFor();
    await withoutViolations(page, "events with panel");
    await page.keyboard.press("Escape");
    assert.ok(await page.locator("#panel").isHidden());
  });
}

export async function hostile_text_stays_text(browser, urls) {
  const hostile = [`<script>window.__xss=1</script>`, `"><img src=x onerror=window.__xss=1>`, `</textarea><script>window.__xss=1</script>`,
    `</template><script>`, `{{7*7}}`, `\u202e\u2028\u001b[31m`, `javascript:window.__xss=1`];
  for (const text of hostile) {
    const { ids } = await post(urls.relay, { type: "track", event: text, userId: text, messageId: `m-${text}`, properties: { [text]: text } });
    const { ids: refused } = await post(urls.relay, { type: "track", event: text, properties: { user_id: text } });
    await onPage(browser, {}, async (page) => {
      for (const path of [`/events/${ids[0]}`, `/events/${refused[0]}`, "/events", "/failures", `/events?text=${encodeURIComponent(text)}`,
        `/tester?event=${ids[0]}`, `/events?user=${encodeURIComponent(text)}`, `/events/${encodeURIComponent(text)}`]) {
        await page.goto(urls.admin + path);
        assert.equal(await page.evaluate(() => window.__xss), undefined, `${path} ${text}`);
        assert.equal(await page.locator("main img, main script").count(), 0, path);
      }
    });
  }
}

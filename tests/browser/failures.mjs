// Failures: a replay that is paused, killed and goes on; a purge that asks; the tester; accounts and syncs.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { onPage, withoutViolations } from "./browser.mjs";
import { FIXED, MINE, TRACK } from "./flow.mjs";
import { USUAL, until } from "./relay.mjs";

const failing = (user) => ({ type: "track", event: "Report Created", properties: { user_id: user } });

export async function test_08_a_replay_sends_what_was_counted_and_survives_a_kill(browser, start) {
  const world = await start(MINE, { "mine.toml": TRACK });
  for (let number = 0; number < 60; number += 1) await world.post(failing(`u-${number}`));
  writeFileSync(join(world.folder, "mine.toml"), FIXED);
  await onPage(browser, {}, async (page) => {
    await page.goto(`${world.admin}/failures`);
    await page.locator("tr", { hasText: "userId" }).getByRole("link").click();
    await page.waitForURL("**/failures/*");
    const tryIt = async () => {
      await page.getByText(/^Replay \d+…$/).click();
      await page.fill("dialog input[name=rate]", "20");
      await page.getByRole("button", { name: "Dry run" }).click();
    };
    await tryIt();
    await page.getByText("Dry run: 0 would be sent, 60 are still refused").waitFor();
    await world.api("/api/reload", { method: "POST" });
    await tryIt();
    await page.getByText("Dry run: 60 would be sent").waitFor();
    await page.getByRole("button", { name: "Replay 60", exact: true }).click();
    await page.waitForURL("**/failures/replays/*");
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByText("The job is paused.").waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByText("The job is running.").waitFor();
    await until("some have arrived", async () => (await world.received()).length >= 10);
    await world.restart("SIGKILL");
    await until("all have arrived", async () => new Set((await world.received()).map((call) => call.body.userId)).size === 60);
    await page.reload();
    await until("the job is done", async () => {
      await page.reload();
      return (await page.locator("main .tag", { hasText: "done" }).count()) === 1;
    });
    assert.match(await page.textContent("main"), /60 of 60 done/);
    const twice = (await world.received()).length - 60;
    assert.ok(twice <= 64, `${twice} calls arrived twice, more than can have been in flight`);
    console.log(`  after the kill, ${twice} calls in flight arrived twice`);
  });
}

export async function test_08_a_replay_whose_number_has_changed_is_refused(_, start) {
  const world = await start();
  for (const user of ["u-1", "u-2"]) await world.post(failing(user));
  const select = { kind: "reject" };
  const order = async (more) => {
    const answer = await fetch(`${world.admin}/api/replays`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ select, ...more }) });
    return [answer.status, await answer.json()];
  };
  const [, dry] = await order({ dry_run: true });
  assert.equal(dry.expect, 2);
  const [status] = await order({ expect: 3, up_to: dry.up_to });
  assert.equal(status, 409);
  // An event that comes after the count is not of it.
  await world.post(failing("u-3"));
  const [started, job] = await order({ expect: dry.expect, up_to: dry.up_to });
  assert.equal(started, 202, JSON.stringify(job));
  await until("the job ends", async () => (await world.api(`/api/replays/${job.id}`)).state === "done");
  const ended = await world.api(`/api/replays/${job.id}`);
  assert.equal(ended.done + ended.failed, 2, "only what was counted");
}

/** Sends events again from the list that shows them: a dry run with its counts, then the job with its progress, then the calls. */
export async function test_08_past_events_are_sent_again_from_their_list(browser, start) {
  const world = await start(MINE, { "mine.toml": TRACK });
  const ids = [];
  for (const user of ["u-1", "u-2", "u-3"]) ids.push(await world.track(user, "Invite Sent"));
  for (const id of ids) await world.has(id, "delivered");
  await world.post(failing("u-4"));
  await onPage(browser, {}, async (page) => {
    const tryIt = async (how) => {
      await page.goto(`${world.admin}/events?name=Invite+Sent`);
      await page.getByText("Replay…").click();
      await page.waitForSelector("dialog[open]");
      await withoutViolations(page, "the form of a replay");
      await page.check(`dialog input[value=${how}]`);
      await page.fill("dialog input[name=rate]", "20");
      await page.getByRole("button", { name: "Dry run" }).click();
      await page.waitForSelector("section[aria-label='Dry run']");
    };
    const dryRun = page.locator("section[aria-label='Dry run']");
    // Events of the last second are not counted yet.
    await until("three are counted", async () => {
      await tryIt("as_sent");
      return (await dryRun.getByRole("heading").textContent()) === "Dry run: 3 would be sent again";
    });
    await dryRun.getByRole("row", { name: "as they were sent before 3" }).waitFor();
    await withoutViolations(page, "a dry run of past events");
    await page.getByRole("link", { name: "Back" }).click();
    await page.waitForURL("**/events?name=Invite+Sent");
    assert.equal((await world.received()).length, 3, "a dry run sends nothing");

    writeFileSync(join(world.folder, "mine.toml"), TRACK.replace(`"$.event"`, `"$.type"`));
    await world.api("/api/reload", { method: "POST" });
    await tryIt("mappings");
    await dryRun.getByRole("row", { name: "differently, or for the first time 3" }).waitFor();
    const example = await dryRun.locator(".json").first().textContent();
    assert.ok(['"Invite Sent"', '"event": "track"'].every((text) => example.includes(text)), `an example shows both: ${example}`);
    await page.getByRole("button", { name: "Replay 3", exact: true }).click();
    await page.waitForURL("**/failures/replays/*");
    await withoutViolations(page, "a replay");
    await until("the job is done", async () => {
      await page.reload();
      return (await page.locator("main .tag", { hasText: "done" }).count()) === 1;
    });
    assert.match(await page.textContent("main"), /3 of 3 done/);
    const again = await until("the calls arrive", async () => {
      const calls = await world.received();
      return calls.length === 6 && calls.slice(3);
    });
    assert.deepEqual(again.map((call) => [call.body.userId, call.body.event]).sort(), [["u-1", "track"], ["u-2", "track"], ["u-3", "track"]]);
  });
}

export async function test_09_a_purge_asks_and_wants_the_number(browser, start) {
  const world = await start();
  for (const user of ["u-1", "u-2", "u-3"]) await world.post(failing(user));
  await onPage(browser, {}, async (page) => {
    await page.goto(`${world.admin}/failures`);
    await page.locator("tr", { hasText: "userId" }).getByRole("link").click();
    const purge = page.getByText("Purge…");
    await purge.click();
    await page.waitForSelector("dialog[open]");
    await withoutViolations(page, "the purge dialog");
    await page.keyboard.press("Escape");
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Purge…", "the focus returns");
    await purge.click();
    await page.fill("input[name=typed]", "2");
    await page.getByRole("button", { name: "Remove them" }).click();
    await page.getByText("nothing was removed").waitFor();
    await page.getByText("Purge…").click();
    await page.fill("input[name=typed]", "3");
    await page.getByRole("button", { name: "Remove them" }).click();
    await page.waitForURL("**/failures/replays/*");
    await until("they are gone", async () => (await world.api("/api/failures")).rejects.count === 0);
    await page.goto(`${world.admin}/failures`);
    await page.getByText("Nothing has failed").waitFor();
  });
}

export async function test_10_the_tester_marks_faults_and_sends_for_real(browser, start) {
  const world = await start();
  const id = await world.track("u-1", "Picked Event");
  await world.has(id, "delivered");
  await onPage(browser, {}, async (page) => {
    await page.goto(`${world.admin}/tester?event=${id}`);
    assert.match(await page.inputValue("textarea[name=event]"), /Picked Event/);
    await page.fill("textarea[name=draft]", "[[mappings]]\nname = \"X\"\naction = \"trak\"\ntrigger = 'type = \"track\"'\n");
    await page.click("button[value=try]");
    await page.locator("[role=alert]", { hasText: "line 3" }).waitFor();
    const selected = await page.locator("textarea[name=draft]").evaluate((field) => [document.activeElement === field, field.value.slice(0, field.selectionStart).split("\n").length]);
    assert.deepEqual(selected, [true, 3], "the line of the fault is selected");
    await withoutViolations(page, "tester with a fault");
    await page.fill("textarea[name=event]", '{"type": "track",\n "event": }');
    await page.click("button[value=try]");
    await page.getByText("The event is not JSON").waitFor();

    await page.fill("textarea[name=draft]", "");
    await page.fill("textarea[name=event]", JSON.stringify({ type: "track", event: "By Hand", userId: "u-2" }));
    await page.getByText("Send for real…").click();
    await page.locator("dialog").getByRole("button", { name: "Send for real" }).click();
    await page.waitForURL("**/events/*");
    await until("its answer is shown", async () => {
      await page.reload();
      return (await page.locator(".head .tag", { hasText: "delivered" }).count()) === 1;
    });
    assert.ok((await world.received()).some((call) => call.body.event === "By Hand"));
  });
}

const ACCOUNTS = `${USUAL}
[accounts]
token = "accoil_test"
workspace_id = "123"
base_url = "\${SANDBOX}"

[vitally]
secret = "secret"
base_url = "\${SANDBOX}"
`;

export async function test_11_accounts_syncs_and_whether_accoil_has_a_user(browser, start) {
  const world = await start(ACCOUNTS);
  await onPage(browser, {}, async (page) => {
    const { accounts } = await world.api("/api/overview").then(() => ({ accounts: true }));
    assert.ok(accounts);
    await page.goto(`${world.admin}/accounts?match_type=domain&match_value=techcorp.com&expand=insights,traits,segments`);
    await page.getByRole("heading", { name: /tech/i }).waitFor();
    await withoutViolations(page, "an account");
    await page.goto(`${world.admin}/accounts?match_type=domain&match_value=nobody.example`);
    await page.locator("[role=alert]", { hasText: "no such account" }).waitFor();

    await page.goto(`${world.admin}/syncs`);
    const section = page.locator("section", { has: page.getByRole("heading", { name: "vitally-to-accoil", exact: true }) });
    await section.getByRole("button", { name: "Dry run" }).click();
    await page.getByText("accounts would be written").waitFor();
    assert.equal((await world.received()).length, 0, "a dry run writes nothing");
    await withoutViolations(page, "a dry run");
    await section.getByText("Run now…").click();
    await page.locator("dialog").getByRole("button", { name: "Run now" }).click();
    await page.goto(`${world.admin}/settings`);
    await until("the sync has ended", async () => {
      await page.goto(`${world.admin}/syncs`);
      return (await section.getByRole("cell", { name: "done", exact: true }).count()) === 1;
    });
    await withoutViolations(page, "the runs of the syncs");
    await section.locator("td a").first().click();
    await page.getByRole("heading", { name: "vitally-to-accoil" }).waitFor();
    await withoutViolations(page, "a run of a sync");
    assert.ok((await world.received()).length > 0, "a run goes on without its page");

    const id = await world.track("u-1842", "Seen");
    await world.has(id, "delivered");
    await page.goto(`${world.admin}/events/${id}`);
    await page.getByRole("button", { name: "Check at Accoil" }).click();
    await page.getByText("Accoil has u-1842.").waitFor();
    await fetch(`${world.sandbox}/received`, { method: "DELETE" });
    await page.getByRole("button", { name: "Check at Accoil" }).click();
    await page.getByText("Accoil does not have u-1842.").waitFor();
    await world.fault({ path: "/v2/users", status: 401, body: '{"error":{"message":"Invalid token"}}', times: 9 });
    await page.getByRole("button", { name: "Check at Accoil" }).click();
    await page.locator(".bar.fail", { hasText: "token" }).waitFor();
  });
}

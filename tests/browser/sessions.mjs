// Logging in and out, links from other sites, and the token that only looks.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { onPage, withoutViolations } from "./browser.mjs";
import { USUAL } from "./relay.mjs";

const TOKENS = `[admin]\ntoken = "full-token"\nviewer_token = "viewer-token"\n${USUAL}`;

async function logIn(page, token) {
  await page.fill("input[name=token]", token);
  await page.getByRole("button", { name: "Log in" }).click();
}

/** A page of another site with a link. */
async function elsewhere(address) {
  const server = createServer((_, response) => {
    response.setHeader("content-type", "text/html");
    response.end(`<!doctype html><title>chat</title><link rel="icon" href="data:,"><a href="${address}">look</a>`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://localhost:${server.address().port}`, close: () => server.close() };
}

export async function test_12_log_in_links_log_out_and_a_viewer(browser, start) {
  const world = await start(TOKENS);
  const full = { headers: { authorization: "Bearer full-token" } };
  const id = await world.track(undefined, "Report Created", { properties: { user_id: "hidden-from-viewers" } });
  const chat = await elsewhere(`${world.admin}/events/${id}`);
  try {
    await onPage(browser, { expected: /403/ }, async (page, context) => {
      await page.goto(chat.url);
      await page.click("a");
      await page.waitForURL("**/login?to=*");
      await withoutViolations(page, "log-in");
      await logIn(page, "full-token");
      await page.waitForURL(`**/events/${id}`);
      await page.goto(chat.url);
      await page.click("a");
      await page.waitForURL(`**/events/${id}`);
      await page.getByText("A required field is missing").waitFor();
      const [cookie] = (await context.cookies(world.admin)).filter((cookie) => cookie.name === "accoil_relay");
      assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, "Strict"]);
      await page.getByRole("link", { name: "Log out" }).click();
      await page.waitForURL("**/login");
      const old = await fetch(`${world.admin}/api/version`, { headers: { cookie: `accoil_relay=${cookie.value}` } });
      assert.equal(old.status, 401, "the old cookie is of no use");

      await page.goto(`${world.admin}/events/${id}`);
      await logIn(page, "viewer-token");
      await page.waitForURL(`**/events/${id}`);
      assert.ok(!(await page.content()).includes("hidden-from-viewers"), "a viewer sees no payload");
      for (const path of ["/destinations/accoil", "/mappings", `/failures/${(await world.api("/api/failures", full)).groups[0].key}`, "/syncs"]) {
        await page.goto(world.admin + path);
        assert.equal(await page.locator("main form[method=post] button:enabled").count(), 0, `${path} has no buttons for a viewer`);
      }
      const refused = await page.evaluate(() => fetch("/destinations/accoil", { method: "POST", body: new URLSearchParams({ do: "pause" }) }).then((answer) => answer.status));
      assert.equal(refused, 403);
    });
    await onPage(browser, { expected: /401|429/ }, async (page) => {
      await page.goto(world.admin);
      for (let tries = 0; tries < 5; tries += 1) {
        await logIn(page, "wrong");
        await page.getByText("That is not the token.").waitFor();
      }
      const answer = page.waitForResponse((response) => response.request().method() === "POST");
      await logIn(page, "full-token");
      assert.equal((await answer).status(), 429);
      await page.getByText("Too many wrong tokens. Try again in").waitFor();
      await withoutViolations(page, "log-in that pauses");
    });
  } finally {
    chat.close();
  }
}

// A relay and its stand-in for Accoil as child processes, each test with its own: free ports, a folder that is removed.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export const USUAL = `
[[sources]]
name = "web"
kind = "segment"
write_key = "web-key"

[[sources]]
name = "product"
kind = "amplitude"
write_key = "product-key"

[[destinations]]
name = "accoil"
api_key = "accoil-key"
base_url = "\${SANDBOX}"
`;

/** Waits until the condition gives something true; fails with the words after half a minute. */
export async function until(what, condition) {
  for (const end = Date.now() + 30_000; Date.now() < end; ) {
    const found = await condition();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  throw new Error(`never: ${what}`);
}

/** Below the ports that the system hands out by itself: one of those may be taken again before the relay listens on it. */
let nextPort = 18_000 + Math.floor(Math.random() * 7_000);

export async function freePort() {
  for (;;) {
    const server = createServer();
    const port = nextPort++;
    const isFree = await new Promise((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (isFree) {
      await new Promise((resolve) => server.close(resolve));
      return port;
    }
  }
}

const json = (url, options) => fetch(url, options).then((answer) => answer.json());

export class World {
  /** Starts both. @param {string} binary @param {string} toml @param {Record<string, string>} files of the relay's folder */
  static async start(binary, toml = USUAL, files = {}) {
    const world = new World();
    Object.assign(world, { binary, toml, log: "", folder: mkdtempSync(join(tmpdir(), "accoil-relay-browser-")) });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(world.folder, name), text);
    world.ports = [await freePort(), await freePort()];
    const port = await freePort();
    world.sandbox = `http://127.0.0.1:${port}`;
    world.stand = spawn(binary, ["sandbox", "--listen", `127.0.0.1:${port}`], { stdio: "ignore", env: {} });
    await until("the sandbox answers", () => fetch(`${world.sandbox}/faults`).then((answer) => answer.ok, () => false));
    await world.startRelay();
    return world;
  }

  async startRelay() {
    const [listen, admin] = this.ports.map((port) => `127.0.0.1:${port}`);
    [this.url, this.admin] = [`http://${listen}`, `http://${admin}`];
    writeFileSync(join(this.folder, "accoil-relay.toml"), this.toml);
    const env = { SANDBOX: this.sandbox, ACCOIL_RELAY_SERVER__LISTEN: listen, ACCOIL_RELAY_ADMIN__LISTEN: admin,
      ACCOIL_RELAY_OUTBOX__URL: "sqlite:relay.db", ACCOIL_RELAY_LOG__FORMAT: "json" };
    this.relay = spawn(this.binary, ["serve"], { cwd: this.folder, env, stdio: ["ignore", "ignore", "pipe"] });
    createInterface({ input: this.relay.stderr }).on("line", (line) => (this.log += `${line}\n`));
    let ended = false;
    this.relay.on("exit", () => (ended = true));
    await until("the relay is ready", () => {
      if (ended) throw new Error(`the relay ended: ${this.log}`);
      return fetch(`${this.url}/readyz`).then((answer) => answer.ok, () => false);
    });
  }

  /** Ends the relay by a signal, and waits for its end. */
  async end(signal) {
    const ended = new Promise((resolve) => this.relay.on("exit", resolve));
    this.relay.kill(signal);
    await ended;
  }

  async restart(signal = "SIGTERM") {
    await this.end(signal);
    await this.startRelay();
  }

  stop() {
    this.relay?.kill("SIGKILL");
    this.stand?.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Posts an event, and returns its id. */
  async post(event, { path = "/v1/track", key = "web-key", body = JSON.stringify(event) } = {}) {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const answer = await fetch(this.url + path, { method: "POST", headers, body });
    const { ids } = await answer.json();
    return ids?.[0] ?? answer.headers.get("relay-event") ?? "";
  }

  track(user, event = "Report Created", more = {}) {
    return this.post({ type: "track", event, userId: user, ...more });
  }

  fault(fault) {
    return fetch(`${this.sandbox}/faults`, { method: "POST", body: JSON.stringify(fault) });
  }

  clearFaults() {
    return fetch(`${this.sandbox}/faults`, { method: "DELETE" });
  }

  async received() {
    return (await json(`${this.sandbox}/received`)).received;
  }

  api(path, options) {
    return json(`${this.admin}${path}`, options);
  }

  /** Waits until an event has a status. */
  has(id, status) {
    return until(`${id} is ${status}`, async () => (await this.api(`/api/events/${id}`)).status === status);
  }
}

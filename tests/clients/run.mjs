// Points each real client SDK at a running relay and looks for its calls at the sandbox behind it.
//
//   node run.mjs --relay http://127.0.0.1:PORT --sandbox http://127.0.0.1:PORT [--only NAME]
//
// Prints one line a client; exits 0 only if every client flushed without an error and each of its calls reached the
// sandbox exactly once, within a second of the flush. The write key is ACCOIL_RELAY_WRITE_KEY, as for the relay.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { amplitudeBrowser } from './amplitude-browser.mjs';
import { amplitudeNode } from './amplitude-node.mjs';
import { openBrowser } from './page.mjs';
import { arrival, received } from './sandbox.mjs';
import { segmentBrowser } from './segment-browser.mjs';
import { segmentNode } from './segment-node.mjs';

const base = ['/v2/identify Ada', '/v2/group Acme', '/v2/track Report Created'];
const page = '/v2/track Viewed Pricing Page';
const screen = '/v2/track Viewed Home Screen';
const all = [...base, page, screen];

const override = host => ({ apiHost: `${host}/v1`, protocol: 'http' });
const batching = () => ({ deliveryStrategy: { strategy: 'batching', config: { size: all.length } } });
const node3 = 'analytics-node-v3';
const node1 = 'analytics-node-v1';
const next = '@segment/analytics-next';

const clients = [
  { name: 'segment-node-v3', package: node3, send: segmentNode(node3), calls: all },
  { name: 'segment-node-v1', package: node1, send: segmentNode(node1), calls: all },
  { name: 'segment-browser', package: next, inPage: true, send: segmentBrowser(override), calls: all },
  { name: 'segment-browser-settings', package: next, inPage: true, send: segmentBrowser(), calls: all },
  { name: 'segment-browser-batching', package: next, inPage: true, send: segmentBrowser(batching), calls: all },
  { name: 'amplitude-node', package: '@amplitude/analytics-node', send: amplitudeNode, calls: [...base, screen] },
  { name: 'amplitude-browser', package: '@amplitude/analytics-browser', inPage: true, send: amplitudeBrowser, calls: [...base, page] },
];

const ARRIVES_WITHIN = 1000; // ms from the flush to the sandbox
const SECOND_COPY = 250; // ms in which a duplicate would follow
const CLIENT_LIMIT = 12_000;
const RUN_LIMIT = 55_000;

const { values: options } = parseArgs({
  options: { relay: { type: 'string' }, sandbox: { type: 'string' }, only: { type: 'string' } },
});
const chosen = clients.filter(client => !options.only || client.name === options.only);
if (!options.relay || !options.sandbox || chosen.length === 0) {
  console.error(`usage: run.mjs --relay URL --sandbox URL [--only NAME]\nNAME is one of ${clients.map(client => client.name).join(', ')}`);
  process.exit(2);
}

/** Runs one client; answers what was seen and every fault of it. */
async function check(client, browser) {
  const id = randomUUID().slice(0, 8);
  const run = {
    relay: options.relay,
    key: process.env.ACCOIL_RELAY_WRITE_KEY ?? 'clients-write-key',
    userId: `${client.name}-${id}`,
    groupId: `group-${id}`,
  };
  const send = client.inPage
    ? browser.visit(options.relay, page => client.send({ ...run, page }))
    : client.send(run);
  const faults = await limited(send, CLIENT_LIMIT);

  const took = await arrival(options.sandbox, run, client.calls.length, ARRIVES_WITHIN);
  await pause(SECOND_COPY);
  const seen = await received(options.sandbox, run);
  if (took === undefined) faults.push(`not all calls at the sandbox within ${ARRIVES_WITHIN} ms of the flush`);
  if (seen.join() !== [...client.calls].sort().join()) faults.push(`expected ${list([...client.calls].sort())}`);
  return { faults, seen, took };
}

/** `work`, or an error once `limit` milliseconds have passed. */
function limited(work, limit) {
  const late = pause(limit, undefined, { ref: false }).then(() => {
    throw new Error(`no answer from the client within ${limit} ms`);
  });
  return Promise.race([work, late]);
}

function list(calls) {
  return calls.length === 0 ? 'nothing' : calls.join(', ');
}

function version(packageName) {
  return JSON.parse(readFileSync(new URL(`node_modules/${packageName}/package.json`, import.meta.url))).version;
}

/** Checks every chosen client, one after the other, a line each; answers whether all passed. */
async function checkAll() {
  const browser = chosen.some(client => client.inPage) ? await openBrowser() : undefined;
  let passed = true;
  try {
    for (const client of chosen) {
      const { faults, seen, took } = await check(client, browser).catch(error => ({ faults: [error.message], seen: [] }));
      const label = `${client.name} ${version(client.package)}`;
      passed &&= faults.length === 0;
      if (faults.length === 0) console.log(`ok   ${label}: ${list(seen)}; ${took} ms after the flush`);
      else console.log(`FAIL ${label}: ${faults.join('; ')}; seen ${list(seen)}`);
    }
  } finally {
    await browser?.close();
  }
  return passed;
}

const passed = await limited(checkAll(), RUN_LIMIT).catch(error => {
  console.error(`FAIL ${error.message}`);
  return false;
});
process.exit(passed ? 0 : 1); // an SDK that still retries must not keep the process alive

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
import { segmentSnippet } from './segment-snippet.mjs';

const base = ['/v2/identify Ada', '/v2/group Acme', '/v2/track Report Created'];
const pageCall = '/v2/track Viewed Pricing Page';
const screenCall = '/v2/track Viewed Home Screen';
const all = [...base, pageCall, screenCall];

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
  { name: 'segment-snippet', package: next, inPage: true, send: segmentSnippet, calls: all },
  { name: 'amplitude-node', package: '@amplitude/analytics-node', send: amplitudeNode, calls: [...base, screenCall] },
  { name: 'amplitude-browser', package: '@amplitude/analytics-browser', inPage: true, send: amplitudeBrowser, calls: [...base, pageCall] },
];

const ARRIVES_WITHIN = 1000; // ms from the flush to the sandbox
const SECOND_COPY = 250; // ms in which a duplicate would follow
const CLIENT_LIMIT = 6_000;
const RUN_LIMIT = 55_000;

const { values: options } = parseArgs({
  options: { relay: { type: 'string' }, sandbox: { type: 'string' }, only: { type: 'string' } },
});
const chosen = clients.filter(client => !options.only || client.name === options.only);
if (!options.relay || !options.sandbox || chosen.length === 0) {
  console.error(`usage: run.mjs --relay URL --sandbox URL [--only NAME]\nNAME is one of ${clients.map(client => client.name).join(', ')}`);
  process.exit(2);
}
const relay = new URL(options.relay).origin;
const sandbox = new URL(options.sandbox).origin;

/** Runs one client and looks at the sandbox; answers what was seen, how soon, and every fault found. */
async function check(client, browser) {
  const id = randomUUID().slice(0, 8);
  const run = {
    relay,
    key: process.env.ACCOIL_RELAY_WRITE_KEY ?? 'clients-write-key',
    userId: `${client.name}-${id}`,
    groupId: `group-${id}`,
  };
  const expected = [...client.calls].sort();
  const faults = [];

  const use = async page => {
    faults.push(...(await client.send({ ...run, page })));
    return arrival(sandbox, run, expected.length, ARRIVES_WITHIN);
  };
  const visit = client.inPage ? browser.visit(relay, faults, use) : use();
  const took = await limited(visit, CLIENT_LIMIT).catch(error => void faults.push(error.message));

  await pause(SECOND_COPY);
  const seen = await received(sandbox, run);
  if (seen.join() !== expected.join()) faults.push(`expected ${list(expected)}`);
  else if (took === undefined) faults.push(`came later than ${ARRIVES_WITHIN} ms after the flush`);
  return { faults, seen, took };
}

/** `work`, or an error once `limit` milliseconds have passed. */
function limited(work, limit) {
  const late = pause(limit, undefined, { ref: false }).then(() => {
    throw new Error(`not done within ${limit} ms`);
  });
  return Promise.race([work, late]);
}

function list(calls) {
  return calls.length === 0 ? 'nothing' : calls.join(', ');
}

function version(packageName) {
  return JSON.parse(readFileSync(new URL(`node_modules/${packageName}/package.json`, import.meta.url))).version;
}

/** One line about a client's run: what is common to many calls is said once, and briefly. */
function report(client, { faults, seen, took }) {
  const label = `${client.name} ${version(client.package)}`;
  if (faults.length === 0) return `ok   ${label}: ${list(seen)}; ${took} ms after the flush`;
  const brief = new Set(faults.map(fault => fault.replace(/\s+/g, ' ').slice(0, 200)));
  return `FAIL ${label}: ${[...brief].join('; ')}; seen ${list(seen)}`;
}

/** Checks every chosen client, one after the other; answers whether all passed. */
async function checkAll() {
  const browser = chosen.some(client => client.inPage) ? await openBrowser() : undefined;
  let passed = true;
  try {
    for (const client of chosen) {
      const result = await check(client, browser);
      passed &&= result.faults.length === 0;
      console.log(report(client, result));
    }
  } finally {
    await browser?.close();
  }
  return passed;
}

const passed = await limited(checkAll(), RUN_LIMIT).catch(error => console.error(`FAIL ${error.message}`));
process.exit(passed ? 0 : 1); // an SDK that still retries must not keep the process alive

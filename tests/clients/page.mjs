// A web page in headless Chromium: served on loopback, on another origin than the relay, watched for anything that
// went wrong in it and for any request to a third host. Requests are never intercepted: Playwright answers CORS
// preflights itself when they are, and the relay's own answers are what is tested.

import { existsSync } from 'node:fs';
import http from 'node:http';
import { chromium } from 'playwright-core';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const html = '<!doctype html><meta charset="utf-8"><title>Pricing</title><h1>Pricing</h1>';
const flags = [
  '--no-sandbox', // CI runs as root
  '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1', // no name resolves: nothing can leave the machine
];

/** A browser for all clients of a run: `visit` opens a fresh page for one of them, `close` ends everything. */
export async function openBrowser() {
  if (!existsSync(executablePath)) {
    throw new Error(`no browser at ${executablePath}: run tests/install.sh, or name one in CHROMIUM`);
  }
  const server = http.createServer((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(html);
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  const browser = await chromium.launch({ executablePath, args: flags, timeout: 20_000 });

  return {
    visit: (relay, faults, use) => visit({ browser, origin, relay, faults, use }),
    close: async () => {
      await browser.close();
      server.close();
    },
  };
}

/** Hands a page with cookies and storage of its own to `use`; adds what went wrong in it to `faults`. */
async function visit({ browser, origin, relay, faults, use }) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    page.on('console', message => message.type() === 'error' && faults.push(`console: ${message.text()}`));
    page.on('pageerror', error => faults.push(`page: ${error.message}`));
    page.on('request', request => {
      const called = new URL(request.url()).origin;
      if (called !== origin && called !== relay) faults.push(`called a third host, ${called}`);
    });
    await page.clock.install();
    await page.goto(`${origin}/pricing`);
    const result = await use(page);
    await page.clock.fastForward(31_000); // Segment's SDK reports on itself to Segment every 30 s, unless told not to
    return result;
  } finally {
    await context.close();
  }
}

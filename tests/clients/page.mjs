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

/** A browser for all clients of a run: `visit(relay, use)` opens a fresh page, `close()` ends everything. */
export async function openBrowser() {
  if (!existsSync(executablePath)) {
    throw new Error(`no browser at ${executablePath}: run tests/install.sh, or name one in CHROMIUM`);
  }
  const server = http.createServer((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(html);
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const browser = await chromium.launch({ executablePath, args: flags, timeout: 20_000 });

  return {
    visit: (relay, use) => visit(browser, `http://127.0.0.1:${server.address().port}`, relay, use),
    close: async () => {
      await browser.close();
      server.close();
    },
  };
}

/** Opens a page of its own (cookies and storage too), hands it to `use`; returns its faults and the page's. */
async function visit(browser, origin, relay, use) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const faults = [];
  page.on('console', message => message.type() === 'error' && faults.push(`console: ${message.text()}`));
  page.on('pageerror', error => faults.push(`page: ${error.message}`));
  page.on('request', request => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith(relay)) faults.push(`called a third host: ${url}`);
  });
  try {
    await page.clock.install();
    await page.goto(`${origin}/pricing`);
    faults.push(...(await use(page)));
    return faults;
  } finally {
    await context.close();
  }
}

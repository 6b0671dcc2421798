// Amplitude's browser SDK (the UMD build of the npm package, as published), posting to /2/httpapi. Of its automatic
// events only the page view is left on: it is what the SDK itself sends for a page.

import { fileURLToPath } from 'node:url';

const build = fileURLToPath(new URL('lib/scripts/amplitude-min.umd.js', import.meta.resolve('@amplitude/analytics-browser/package.json')));

export async function amplitudeBrowser({ page, relay, key, userId, groupId }) {
  await page.addScriptTag({ path: build });
  return page.evaluate(callAll, { relay, key, userId, groupId });
}

async function callAll({ relay, key, userId, groupId }) {
  const client = window.amplitude.createInstance();
  await client.init(key, userId, {
    serverUrl: `${relay}/2/httpapi`,
    remoteConfig: { fetchRemoteConfig: false },
    enableDiagnostics: false,
    flushMaxRetries: 2,
    autocapture: { pageViews: true, attribution: false, sessions: false, formInteractions: false,
      fileDownloads: false, elementInteractions: false, pageUrlEnrichment: false },
  }).promise;

  const calls = [
    client.identify(new window.amplitude.Identify().set('name', 'Ada').set('email', 'ada@example.com')),
    client.groupIdentify('Account', groupId, new window.amplitude.Identify().set('name', 'Acme')),
    client.track('Report Created', { pages: 3 }),
  ];

  await client.flush().promise;
  const results = await Promise.all(calls.map(call => call.promise));
  return results.filter(result => result.code !== 200).map(result => `${result.code}: ${result.message}`);
}

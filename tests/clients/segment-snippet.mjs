// Segment's HTML snippet: calls wait in `window.analytics` until the standalone build of analytics.js takes them over.
// A page loads that build from Segment's CDN; here it is the one of the npm package. `analytics._cdn` names the relay,
// from which it loads its settings.

import { fileURLToPath } from 'node:url';

const build = fileURLToPath(import.meta.resolve('@segment/analytics-next/dist/umd/standalone.js'));

export async function segmentSnippet({ page, relay, key, userId, groupId }) {
  await page.evaluate(queueAll, { relay, key, userId, groupId });
  await page.addScriptTag({ path: build });
  return [];
}

function queueAll({ relay, key, userId, groupId }) {
  const analytics = (window.analytics = []);
  analytics._writeKey = key;
  analytics._cdn = relay;
  analytics.push(
    ['identify', userId, { name: 'Ada', email: 'ada@example.com' }],
    ['group', groupId, { name: 'Acme' }],
    ['track', 'Report Created', { pages: 3 }],
    ['page', 'Docs', 'Pricing'],
    ['screen', 'Home'],
  );
}

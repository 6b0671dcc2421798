// Segment's browser SDK (the UMD build of the npm package, as published) in a page of another origin than the relay.
// It loads its settings from the relay, then posts each call at once (/v1/t, /v1/i, ...) or in batches (/v1/b).

import { fileURLToPath } from 'node:url';

const build = fileURLToPath(import.meta.resolve('@segment/analytics-next/dist/umd/index.js'));

/** `settings` gives the "Segment.io" options of the page: none means that only the relay's settings document speaks. */
export const segmentBrowser = (settings = () => undefined) => async ({ page, relay, key, userId, groupId }) => {
  await page.addScriptTag({ path: build });
  return page.evaluate(callAll, { relay, key, userId, groupId, settings: settings(new URL(relay).host) });
};

async function callAll({ relay, key, userId, groupId, settings }) {
  const options = settings && { integrations: { 'Segment.io': settings } };
  const [analytics] = await window.AnalyticsNext.AnalyticsBrowser.load({ writeKey: key, cdnURL: relay }, options);
  const faults = [];
  analytics.on('error', fault => faults.push(String(fault.reason ?? fault.code)));

  const contexts = await Promise.all([
    analytics.identify(userId, { name: 'Ada', email: 'ada@example.com' }),
    analytics.group(groupId, { name: 'Acme' }),
    analytics.track('Report Created', { pages: 3 }),
    analytics.page('Docs', 'Pricing'),
    analytics.screen('Home'),
  ]);

  // A post that the SDK means to try again later is not an error to it, only an entry in the call's log.
  for (const context of contexts) {
    for (const entry of context.logs()) {
      if (entry.level === 'error' || entry.level === 'warn') faults.push(`${entry.message}: ${entry.extras}`);
    }
    if (context.failedDelivery()) faults.push(String(context.failedDelivery().reason));
  }
  return faults;
}

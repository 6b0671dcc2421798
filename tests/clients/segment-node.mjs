// Segment's server SDK, v1 and v3: one program serves both, as it would in an application that upgrades.
// Both post one batch to /v1/batch; v1 authenticates by the Basic header alone, v3 also by `writeKey` in the body.

export const segmentNode = packageName => async ({ relay, key, userId, groupId }) => {
  const { Analytics } = await import(packageName);
  const analytics = new Analytics({ writeKey: key, host: relay });
  const faults = [];
  analytics.on('error', fault => faults.push(`error event ${fault.code}: ${fault.reason ?? fault.message}`));
  let answered = 0;
  const settled = fault => {
    answered += 1;
    if (fault) faults.push(`callback: ${fault}`);
  };

  analytics.identify({ userId, traits: { name: 'Ada', email: 'ada@example.com' } }, settled);
  analytics.group({ userId, groupId, traits: { name: 'Acme' } }, settled);
  analytics.track({ userId, event: 'Report Created', properties: { pages: 3 } }, settled);
  analytics.page({ userId, name: 'Pricing', properties: { url: 'https://app.example.com/pricing' } }, settled);
  analytics.screen({ userId, name: 'Home' }, settled);

  await analytics.closeAndFlush({ timeout: 4000 }); // resolves when the time is up, too, without a word
  if (answered < 5) faults.push(`flush timed out with ${answered} of 5 calls answered`);
  return faults;
};

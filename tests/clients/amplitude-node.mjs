// Amplitude's server SDK, posting to /2/httpapi. It has no page call and no screen call: a screen is the event that
// Amplitude's mobile SDKs send for one.

import { createInstance, Identify, Types } from '@amplitude/analytics-node';

export async function amplitudeNode({ relay, key, userId, groupId }) {
  const client = createInstance();
  await client.init(key, { serverUrl: `${relay}/2/httpapi`, flushMaxRetries: 2, logLevel: Types.LogLevel.None }).promise;
  const user = { user_id: userId };

  const calls = [
    client.identify(new Identify().set('name', 'Ada').set('email', 'ada@example.com'), user),
    client.groupIdentify('Account', groupId, new Identify().set('name', 'Acme'), user),
    client.track('Report Created', { pages: 3 }, user),
    client.track('[Amplitude] Screen Viewed', { '[Amplitude] Screen Name': 'Home' }, user),
  ];

  await client.flush().promise;
  const results = await Promise.all(calls.map(call => call.promise));
  return results.filter(result => result.code !== 200).map(result => `${result.code}: ${result.message}`);
}

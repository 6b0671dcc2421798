// What the sandbox (the stand-in Accoil) has received from one client's run.

import { setTimeout as pause } from 'node:timers/promises';

/** The calls that carry this run's user or group, each as one line: its path and its event's or its traits' name. */
export async function received(sandbox, { userId, groupId }) {
  const url = `${sandbox}/received`;
  const response = await fetch(url, { signal: AbortSignal.timeout(2000) }).catch(cause => {
    throw new Error(`no sandbox at ${url}: ${cause.cause?.message ?? cause.message}`, { cause });
  });
  if (!response.ok) throw new Error(`GET ${url} answered ${response.status}`);
  const calls = (await response.json()).received;
  return calls
    .filter(({ body }) => body?.userId === userId || body?.groupId === groupId)
    .map(({ path, body }) => `${path} ${body.event ?? body.traits?.name ?? ''}`.trim())
    .sort();
}

/** Waits until `count` calls are there, `limit` milliseconds at most; answers how long that took, or undefined. */
export async function arrival(sandbox, run, count, limit) {
  const start = performance.now();
  while (performance.now() - start < limit) {
    if ((await received(sandbox, run)).length >= count) return Math.round(performance.now() - start);
    await pause(10);
  }
  return undefined;
}

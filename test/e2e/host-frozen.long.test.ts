import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { requestsFor } from '../../src/dev/model-server.js';
import { hostsOf } from '../../src/store/collections.js';
import { seedOf } from '../store/support.js';
import { until } from '../support/until.js';

import { TTL_MS, STOP_MS, stack, host, inSecondTurn, expiryOf, runsOn, expectOneGap } from './lost-hosts.js';
import { wholeStream } from './real-tasks.js';

describe('a host whose worker is frozen', () => {
  it('loses its task: Codex stops in time, and its folder is set aside on its return', async () => {
    const { first, task, seedId, release } = await inSecondTurn('frozen');
    first.signal('SIGSTOP');
    const frozenAt = Date.now();
    const other = await host();
    await until(
      'the end of codex',
      async () => (await first.codexOf(task.taskId)) === null,
      TTL_MS + STOP_MS,
    );
    const stoppedAt = Date.now();
    const expiresAt = await expiryOf(first);
    process.stdout.write(`codex stopped ${stoppedAt - frozenAt} ms after its worker froze\n`);
    expect(stoppedAt).toBeLessThan(expiresAt);
    expect(await runsOn(task, other)).toBeGreaterThan(expiresAt);
    await until('two turns', async () => (await task.status()).turns === 2, 60_000);
    release();
    first.signal('SIGCONT');
    await until('an empty host', async () => (await first.tasks()).length === 0);
    expect(await readdir(join(first.dataDir, 'unsaved'))).toEqual([]);
    await until('its list of evictions', async () => {
      const document = await hostsOf(stack.store).findOne({ _id: first.hostId });
      return document?.evict.length === 0;
    });
    // It did not disturb the one that has the task now.
    await task.sendMessage('more', { messageId: 'm3' });
    await until('three turns', async () => (await task.status()).turns === 3, 60_000);
    expect(await task.status()).toMatchObject({ host: other.hostId });
    expect((await seedOf(stack.store, seedId)).leaseEpoch).toBe(2);
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 3 });
    expectOneGap(await wholeStream(task));
    expect(requestsFor(stack.model.requests, 'more')).toHaveLength(1);
  }, 240_000);
});

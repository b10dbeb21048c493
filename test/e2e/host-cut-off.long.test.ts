import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { taskFolder } from '../../src/task-folder/task-folder.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';
import { saveHistory } from '../workflows/histories.js';

import { TTL_MS, STOP_MS, stack, host, inSecondTurn, expiryOf, runsOn, expectOneGap } from './lost-hosts.js';
import { wholeStream } from './real-tasks.js';

describe('a host that is cut off', () => {
  async function proxies(): Promise<{ temporal: TcpProxy; mongodb: TcpProxy; env: NodeJS.ProcessEnv }> {
    const [temporalHost = '', temporalPort] = stack.line.temporal.address.split(':');
    const uri = stack.line.env['MONGODB_URI']!;
    const [, target = '', rest = ''] = /^mongodb:\/\/([^/?]+)(.*)$/.exec(uri)!;
    const decoded = decodeURIComponent(target);
    const [mongoHost = '', mongoPort] = decoded.split(':');
    const temporal = await startTcpProxy({ host: temporalHost, port: Number(temporalPort) });
    const mongodb = await startTcpProxy(
      decoded.startsWith('/') ? { path: decoded } : { host: mongoHost, port: Number(mongoPort) },
    );
    onTestFinished(async () => {
      await temporal.close();
      await mongodb.close();
    });
    return {
      temporal,
      mongodb,
      env: { TEMPORAL_ADDRESS: temporal.address, MONGODB_URI: `mongodb://${mongodb.address}${rest}` },
    };
  }

  it('fences itself without both servers and sets the lost task aside on its return', async () => {
    const { temporal, mongodb, env } = await proxies();
    const { first, task, release } = await inSecondTurn('cut', env);
    const other = await host();
    temporal.cut();
    mongodb.cut();
    const cutAt = Date.now();
    await until(
      'the end of codex',
      async () => (await first.codexOf(task.taskId)) === null,
      TTL_MS + STOP_MS,
    );
    const stoppedAt = Date.now();
    const expiresAt = await expiryOf(first);
    process.stdout.write(`codex stopped ${stoppedAt - cutAt} ms after the cut\n`);
    expect(stoppedAt).toBeLessThan(expiresAt);
    expect(await runsOn(task, other)).toBeGreaterThan(expiresAt);
    await until('two turns', async () => (await task.status()).turns === 2, 60_000);
    release();
    temporal.heal();
    mongodb.heal();
    await until('an empty host', async () => (await first.tasks()).length === 0, 90_000);
    expect(first.pid).toBeGreaterThan(0);
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 2 });
    expectOneGap(await wholeStream(task));
  }, 300_000);

  it('evicts the task without Temporal alone, and saves everything', async () => {
    const { temporal, env } = await proxies();
    const { first, task, release } = await inSecondTurn('deaf', env);
    await writeFile(join(taskFolder(first.dataDir, task.taskId).work, 'late.txt'), 'since the checkpoint');
    temporal.cut();
    const other = await host();
    await runsOn(task, other);
    await until('two turns', async () => (await task.status()).turns === 2, 60_000);
    release();
    expect(await first.tasks()).toEqual([]);
    expect(await readFile(join(taskFolder(other.dataDir, task.taskId).work, 'late.txt'), 'utf8')).toBe(
      'since the checkpoint',
    );
    temporal.heal();
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 2 });
    const { ids, events } = await wholeStream(task);
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    expect(events.filter(({ method }) => method === 'turn/completed')).toHaveLength(3);
    await saveHistory(stack.temporal.client, task.taskId, 'real-host-cut-off');
  }, 300_000);
});

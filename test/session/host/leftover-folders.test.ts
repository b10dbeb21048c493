import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { HostTasks } from '../../../src/session/model/host-tasks.js';
import { forgetEnded, leftoverFolders, removeKept } from '../../../src/session/host/leftover-folders.js';
import { findHost, registerHost, requestForgetting } from '../../../src/store/hosts.js';
import { useStore } from '../../store/support.js';
import { testFolder } from '../../support/folders.js';

const use = useStore();

async function folders(...paths: string[]): Promise<string> {
  const dataDir = await testFolder();
  for (const path of paths) {
    await mkdir(join(dataDir, path), { recursive: true });
    await writeFile(join(dataDir, path, 'file'), '');
  }
  return dataDir;
}

test('unowned parts of an ended task are removed, but a possible credential is reported', async () => {
  const others = ['unsaved/a-b-17', 'unsaved/a', 'unsaved/a-17x', 'unsaved/aa-17', 'ended/a-b'];
  const dataDir = await folders('ended/a', 'tasks/a', 'unsaved/a-17', 'unsaved/a-18', ...others);
  const kept = await leftoverFolders(dataDir, 'a');
  expect(kept).toEqual({
    ownerless: ['ended/a', 'unsaved/a-17', 'unsaved/a-18'].map((path) => join(dataDir, path)),
    own: join(dataDir, 'tasks/a'),
  });
  await removeKept(kept);
  expect(await leftoverFolders(dataDir, 'a')).toEqual({ ownerless: [], own: kept.own });
  for (const path of others) expect(existsSync(join(dataDir, path))).toBe(true);
  expect(await leftoverFolders(dataDir, '../a')).toEqual({ ownerless: [], own: null });
});

test('a host told to forget a task drops its journal, unless the task is back', async () => {
  const dataDir = await folders('ended/a', 'ended/b');
  const tasks = new HostTasks(4);
  const host = {
    config: { dataDir, commandEnv: [] },
    store: use.store,
    hostId: 'h1',
    tasks,
    log: pino({ enabled: false }),
  } as unknown as HostContext;
  await registerHost(use.store, { hostId: 'h1', listenerUrl: '', version: '', ttlMs: 60_000 });
  await registerHost(use.store, { hostId: 'gone', listenerUrl: '', version: '', ttlMs: -1 });
  tasks.claim({ taskId: 'b', runId: 'r', assignmentId: 's' });
  for (const taskId of ['a', 'b']) {
    await requestForgetting(use.store, taskId);
    expect((await findHost(use.store, 'h1'))?.forget).toEqual([taskId]);
    await forgetEnded(host, taskId);
  }
  expect(['ended/a', 'ended/b'].map((path) => existsSync(join(dataDir, path)))).toEqual([false, true]);
  expect((await findHost(use.store, 'h1'))?.forget).toEqual([]);
  expect((await findHost(use.store, 'gone'))?.forget).toEqual([]);
  tasks.remove('b');
});

import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { startTimeOf } from '../../../src/process/process-identity.js';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { HostTasks } from '../../../src/session/model/host-tasks.js';
import { taskFolder } from '../../../src/task-folder/task-folder.js';
import type { Lease } from '../../../src/store/leases.js';
import { testFolder } from '../../support/folders.js';
import { until } from '../../support/until.js';
import { openJournal } from '../../../src/journal/open-journal.js';

/** A host with an empty data folder; no workflow runs. */
export async function hostOf(more: Partial<HostContext> = {}) {
  const dataDir = await testFolder();
  const host = {
    hostId: 'here',
    config: { dataDir, commandEnv: [] },
    codex: { path: '/usr/bin/codex', version: '0' },
    tasks: new HostTasks(4),
    log: pino({ enabled: false }),
    guard: () => undefined,
    isRunning: () => Promise.resolve(false),
    hostLease: { isToEvict: () => false },
    ...more,
  } as unknown as HostContext;
  return { host, dataDir, folderOf: (taskId: string) => taskFolder(dataDir, taskId) };
}

/** A process with that home, ended with the test. */
export async function sleeper(
  home: string,
): Promise<{ pid: number; startTime: number; child: ChildProcess }> {
  await mkdir(home, { recursive: true });
  const env = { PATH: process.env['PATH'], HOME: home };
  const child = spawn('sleep', ['600'], { env, detached: true, stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  const pid = child.pid!;
  // Before its exec it still has the environment of this process.
  await until('its environment', async () =>
    (await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')).includes(home),
  );
  return { pid, startTime: (await startTimeOf(pid))!, child };
}

/** Codex's last word: at the signal, and after a while, `next` in its home becomes `name`. */
export async function lastWriter(home: string, name: string): Promise<{ pid: number; startTime: number }> {
  const script = `
    const { renameSync, writeFileSync } = require('node:fs');
    const write = () => { renameSync('next', ${JSON.stringify(name)}); process.exit(); };
    process.once('SIGTERM', () => setTimeout(write, 300));
    setInterval(() => {}, 1000);
    writeFileSync('ready', '');
  `;
  const child = spawn(process.execPath, ['-e', script], {
    cwd: home,
    env: { HOME: join(home, '/') },
    detached: true,
    stdio: 'ignore',
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await until('its script', () => existsSync(join(home, 'ready')));
  return { pid: child.pid!, startTime: (await startTimeOf(child.pid!))! };
}

export const isGone = async ({ pid }: { pid: number }) => (await startTimeOf(pid)) === undefined;

/** A folder as a task with a thread leaves it behind. */
export async function leaveFolder(
  folder: ReturnType<typeof taskFolder>,
  events: string[],
  lease: Lease | null = null,
): Promise<void> {
  const journal = await openJournal(folder.journal);
  for (const event of events) journal.append(event);
  await journal.close();
  await writeFile(folder.ledger, '{"t":"thread","threadId":"T","model":null}\n');
  const ref = { taskId: folder.taskId, runId: 'r', assignmentId: 's' };
  const spec = { snapshot: { key: folder.taskId, keep: 5, checkpoint: 'end', exclude: null } };
  await writeFile(folder.taskJson, JSON.stringify({ ref, spec, lease }));
}

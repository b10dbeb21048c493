import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import type { SandboxSettings } from '../../src/contract/index.js';
import { taskFolder } from '../../src/task-folder/task-folder.js';
import { archiveTask, emptyTally } from '../../src/snapshots/archive-task.js';
import { openWorkFile } from '../../src/workdir/open-work-file.js';
import { commandOutput, connect, startTestCodex, type TestCodex } from '../codex/test-codex.js';
import { testFolder } from '../support/folders.js';
import { until } from '../support/until.js';
import { attackHost, SECRET, type AttackHost } from './attack-host.js';

/** Each attempt, and whether it went well. */
export type Reached = Record<string, boolean>;

/** How a command runs that makes the attempts. */
export type Way = 'sandboxed' | 'approved' | 'left running' | 'approved, left running';

const ESCALATED = { sandbox_permissions: 'require_escalated', justification: 'because' };

/** A codex on a host with something to reach; what it gives back makes the attempts once. */
export async function startAttacked(sandbox: SandboxSettings): Promise<(way: Way) => Promise<Reached>> {
  const outside = await testFolder();
  let host: AttackHost | undefined;
  const codex = await startTestCodex({
    approvals: 'on-request',
    workerEnv: {
      HOME: join(outside, 'home'),
      PASSED: `${SECRET}passed`,
      PATH: `${process.env['PATH']}:${join(outside, 'bin')}`,
    },
    passEnv: ['PASSED'],
    config: async (task) => {
      host = await attackHost(task, outside);
      return { sandbox };
    },
  });
  await host!.fillLate();
  let runs = 0;
  return async (way) => {
    const mark = `mark-${++runs}`;
    let worker = host!.newWorker();
    const restart = async () => {
      worker = await host!.restart({ mark, worker });
    };
    const command = await host!.commandOf({ mark, worker: worker.pid! });
    const said = way.endsWith('left running')
      ? await runLeft(codex, { command, mark, restart, approved: way === 'approved, left running' })
      : await runNow(codex, command, way === 'approved');
    const [, results] = /RESULTS (\{.*\})/.exec(said) ?? [];
    if (results === undefined) throw new Error(`The attempts were not made: ${said}`);
    return {
      ...(JSON.parse(results) as Reached),
      ...(await really(host!, codex, mark)),
      'end the worker': worker.signalCode !== null,
    };
  };
}

async function runNow(codex: TestCodex, command: string, approved: boolean): Promise<string> {
  if (!approved) return codex.run(command);
  await begin(codex, command, true);
  await codex.saw('turn/completed');
  return commandOutput(codex.model);
}

async function begin(codex: TestCodex, command: string, approved: boolean, more = {}): Promise<void> {
  codex.received.length = 0;
  await codex.startTurn(command, { ...more, ...(approved && ESCALATED) });
  if (!approved) return;
  const { id } = await codex.saw('item/commandExecution/requestApproval');
  codex.rpc.respond(id!, { decision: 'accept' });
}

interface Left {
  readonly command: string;
  readonly mark: string;
  readonly restart: () => Promise<void>;
  readonly approved: boolean;
}

/** Makes the attempts after the command's turn, and after another worker took the place of the one it began under. */
async function runLeft(codex: TestCodex, { command, mark, restart, approved }: Left): Promise<string> {
  const go = join(codex.work, `go-${mark}`);
  const out = join(codex.work, `out-${mark}`);
  const waiting = `until [ -e ${go} ]; do sleep 0.1; done; ${command} > ${out}.part; mv ${out}.part ${out}`;
  await begin(codex, waiting, approved, { yield_time_ms: 250 });
  await codex.saw('turn/completed');
  await restart();
  const again = await connect(codex.socket);
  await again.rpc.call('thread/resume', { threadId: codex.threadId }, { timeoutMs: 10_000 });
  await writeFile(go, '');
  return until('the attempts', () => existsSync(out) && readFile(out, 'utf8'));
}

/** What the attempts have changed, looked at from outside; what they left is gone afterwards. */
async function really({ places }: AttackHost, { work, dataDir }: TestCodex, mark: string): Promise<Reached> {
  const holds = (path: string) =>
    readFile(path, 'utf8').then(
      (text) => text.includes(mark),
      () => false,
    );
  const found: Reached = {};
  for (const [name, path] of Object.entries(places.write)) found[`write ${name}`] = await holds(path);
  for (const [name, path] of Object.entries(places.replace))
    found[`replace ${name}`] = (await readFile(path, 'utf8').catch(() => '')) === mark;
  const archive = gunzipSync(
    await buffer(archiveTask(taskFolder(dataDir, 'a'), { exclude: null, tally: emptyTally() })),
  );
  found['snapshot of the account'] = archive.includes(`${SECRET}account\n`);
  found['snapshot of another’s account'] = archive.includes(`${SECRET}account of b\n`);
  for (const name of ['link', 'hard', 'copy']) {
    const file = await openWorkFile(work, `${name}-${mark}`).catch(() => null);
    found[`download of a ${name}`] = (await file?.handle.readFile('utf8'))?.includes(SECRET) ?? false;
    await file?.handle.close();
  }
  for (const name of ['link', 'hard', 'copy', 'copy-b', 'device'])
    await rm(join(work, `${name}-${mark}`), { force: true });
  return found;
}

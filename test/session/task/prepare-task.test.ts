import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ObjectId } from 'mongodb';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'smol-toml';
import type { CodexTaskInput } from '../../../src/contract/index.js';
import { NO_KEYS, parseKeys } from '../../../src/codec/key-list.js';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { HostTasks } from '../../../src/session/model/host-tasks.js';
import type { PreparedTask } from '../../../src/session/model/prepared-task.js';
import { prepareTask } from '../../../src/session/task/prepare-task.js';
import { projectInstructions } from '../../../src/session/agent-channel/project-instructions.js';
import { noteStart } from '../../../src/session/agent-channel/resume-log.js';
import { takeSnapshot } from '../../../src/snapshots/take-snapshot.js';
import { putBlob } from '../../../src/store/blobs.js';
import type { Store } from '../../../src/store/mongo.js';
import { parseTaskInput } from '../../../src/input/parse-task-input.js';
import { useStore } from '../../store/support.js';
import { testFolder } from '../../support/folders.js';
import type { TaskSpec } from '../../../src/contract/task-spec.js';

const use = useStore();

/** A host with nothing on it, in whose user's home tasks may be granted folders. */
async function emptyHost(minFreeBytes = 1) {
  const dataDir = await testFolder();
  const home = await testFolder();
  const tasks = new HostTasks(4);
  const host = {
    config: { dataDir, journalBytes: null, commandEnv: [], minFreeBytes },
    store: use.store,
    hostId: 'h',
    tasks,
    log: pino({ enabled: false }),
    env: { HOME: home, PATH: '/usr/bin:/bin' },
    codex: { path: '/usr/bin/codex', version: '0' },
    leaseTtlMs: 60_000,
  } as unknown as HostContext;
  return { host, home };
}

async function prepare(
  { host }: { host: HostContext },
  input: CodexTaskInput,
  taskId = 't1',
  taken: Partial<TaskSpec> = {},
): Promise<PreparedTask> {
  const ref = { taskId, runId: `run-of-${taskId}`, assignmentId: 's' };
  host.tasks.claim(ref);
  const known = host.tasks.find(taskId);
  if (known?.kind === 'claimed') clearTimeout(known.lapse);
  const spec = { ...parseTaskInput({ credential: { none: true }, ...input }, taskId), ...taken };
  const prepared = await prepareTask(host, { ref, spec, lease: null });
  onTestFinished(async () => {
    await prepared.journal.close(0);
    await prepared.ledger.close();
  });
  return prepared;
}

const inWork = ({ folder }: PreparedTask, path: string) => readFile(join(folder.work, path), 'utf8');

async function snapshotOf({ host }: { host: HostContext }, { ref, spec }: PreparedTask): Promise<string> {
  const args = { ref, settings: spec.snapshot, kind: 'end', endState: 'done', threadId: 'thread' } as const;
  return (await takeSnapshot(host, args, { request: ref.runId })).snapshotId;
}

test('folders of a task can be entered only by the worker’s user', async () => {
  const { folder } = await prepare(await emptyHost(), {});
  for (const path of [folder.root, folder.home, folder.codexHome, folder.work, folder.journal])
    expect((await stat(path)).mode & 0o777, path).toBe(0o700);
  for (const path of [folder.taskJson, join(folder.codexHome, 'config.toml'), folder.ledger])
    expect((await stat(path)).mode & 0o777, path).toBe(0o600);
});

test('a resume reserves room for its snapshot before unpacking', async () => {
  const first = await emptyHost();
  const task = await prepare(first, {});
  await writeFile(join(task.folder.work, 'a'), 'x');
  const snapshotId = await snapshotOf(first, task);
  await use.store.db
    .collection<{ _id: ObjectId }>(`${use.store.prefix}_codex_session_snapshots`)
    .updateOne({ _id: new ObjectId(snapshotId) }, { $set: { contentBytes: 2 ** 52 } });
  const other = await emptyHost();
  await expect(prepare(other, { resume: { snapshotId } }, 't2')).rejects.toMatchObject({
    code: 'HostUnfit',
    message: expect.stringContaining(String(2 ** 52 + 1)) as unknown,
  });
});

test('a disk without room is detected before anything is created', async () => {
  const full = await emptyHost(Number.MAX_SAFE_INTEGER);
  await expect(prepare(full, {})).rejects.toMatchObject({ code: 'HostUnfit' });
  await expect(stat(join(full.host.config.dataDir, 'tasks'))).rejects.toThrow('ENOENT');
});

test('a resumed thread asks the provider of its new task', async () => {
  const earlier = await emptyHost();
  const there = await prepare(earlier, { snapshot: { key: 'thread' } });
  const meta = (model_provider: string) =>
    `${JSON.stringify({ type: 'session_meta', payload: { id: 'thread', model_provider } })}\n`;
  const rollout = ['sessions', '2026', '11', '30', 'rollout-thread.jsonl'];
  await mkdir(join(there.folder.codexHome, ...rollout.slice(0, -1)), { recursive: true });
  await writeFile(join(there.folder.codexHome, ...rollout), meta('openai'));
  const snapshotId = await snapshotOf(earlier, there);
  const providers = { other: { name: 'other', base_url: 'http://127.0.0.1:1', wire_api: 'responses' } };
  const given: [CodexTaskInput, string][] = [
    [
      { resume: { snapshotId }, codexConfig: { model_provider: 'other', model_providers: providers } },
      'other',
    ],
    [{ resume: { snapshotId }, credential: { apiKeyEnv: 'A_KEY' } }, 'openai-api-key'],
    [{ resume: { snapshotId } }, 'openai'],
  ];
  for (const [input, provider] of given) {
    const { folder } = await prepare(await emptyHost(), input, `of-${provider}`);
    expect(await readFile(join(folder.codexHome, ...rollout), 'utf8')).toBe(meta(provider));
  }
});

test('the end of a task stops its preparation between any two stages', async () => {
  const earlier = await emptyHost();
  const snapshotId = await snapshotOf(earlier, await prepare(earlier, { snapshot: { key: 'earlier' } }));
  const blobId = await putBlob(use.store, Buffer.from('given'), { filename: 'file' });
  const files = [{ path: 'given.txt', blobId }];
  const input: CodexTaskInput = { resume: { snapshotId }, files };
  let ended = 0;
  for (let questions = 1, isWhole = false; !isWhole; questions++) {
    const { host } = await emptyHost();
    const taskId = `ended-${questions}`;
    let left = questions;
    const after: string[] = [];
    // The task is ended while that question to the database is under way.
    const store = watched(use.store, (what) => {
      if (left-- === 1) {
        const task = host.tasks.find(taskId);
        if (task?.kind === 'claimed') task.stopping.abort();
      } else if (left < 0) after.push(what);
    });
    isWhole = await prepare({ host: { ...host, store } }, input, taskId).then(
      () => true,
      (error: Error) => {
        expect(error.name).toBe('AbortError');
        ended++;
        return false;
      },
    );
    // One stage asks for some things one after another.
    if (!isWhole) expect(new Set(after).size, after.join()).toBeLessThan(3);
    expect(host.tasks.find(taskId)?.kind).toBe(isWhole ? 'prepared' : 'claimed');
    expect(questions).toBeLessThan(60);
  }
  expect(ended).toBeGreaterThan(5);
});

/** The store, but each question to it is told before it is asked: its collection and name. */
function watched(store: Store, tell: (question: string) => void): Store {
  const collection = (name: string) =>
    new Proxy(store.db.collection(name), {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          tell(name);
          return value.apply(target, args) as unknown;
        };
      },
    });
  const db = new Proxy(store.db, {
    get(target, key) {
      if (key === 'collection') return collection;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  return { ...store, db };
}

test('~ in a grant is the home of the worker’s user, in the sandbox and for the agent', async () => {
  const there = await emptyHost();
  await mkdir(join(there.home, 'shared'));
  const grants = [
    { path: '~/shared/', access: 'rw' as const },
    { path: '~', access: 'ro' as const },
  ];
  const task = await prepare(there, { sandbox: { grants } });
  const config = parse(await readFile(join(task.folder.codexHome, 'config.toml'), 'utf8')) as unknown as {
    permissions: { task: { filesystem: Record<string, string> } };
  };
  const { filesystem } = config.permissions.task;
  expect(filesystem).toMatchObject({ [join(there.home, 'shared')]: 'write', [there.home]: 'read' });
  const told = await toldTo(task);
  expect(told).toContain(`You may also read and write \`${join(there.home, 'shared')}\`.`);
  expect(told).toContain(`You may also read \`${there.home}\`.`);
  expect(told).not.toContain('~');
});

test('given files are in the workdir, and a missing one is bad input with its place', async () => {
  const there = await emptyHost();
  const blobId = await putBlob(there.host.store, Buffer.from('given'), { filename: 'file' });
  const task = await prepare(there, { files: [{ path: 'docs/a.txt', blobId }] });
  expect(await inWork(task, 'docs/a.txt')).toBe('given');
  const missing = 'f'.repeat(24);
  const files = [
    { path: 'a', blobId },
    { path: 'b', blobId: missing },
  ];
  await expect(prepare(there, { files }, 't2')).rejects.toMatchObject({
    code: 'BadInput',
    message: `files[1].blobId: Blob "${missing}" does not exist`,
  });
});

test('a task resumes on another host with its files and a new AGENTS.md', async () => {
  const first = await emptyHost();
  const input = { hostProtocol: true, instructions: 'old', snapshot: { key: 'k' } };
  const before = await prepare(first, input);
  expect((await inWork(before, 'resume.log')).split('\n')).toEqual([expect.stringMatching(START), '']);
  await writeFile(join(before.folder.work, 'kept.txt'), 'kept');
  await writeFile(join(before.folder.work, 'optio.log'), 'DONE\n');
  const config = join(before.folder.codexHome, 'config.toml');
  await writeFile(config, `model_verbosity = "low"\n${await readFile(config, 'utf8')}`);
  const snapshotId = await snapshotOf(first, before);

  const second = await emptyHost();
  const changed = { hostProtocol: true, instructions: 'new', resume: { snapshotKey: 'k' } };
  const after = await prepare(second, changed, 't2');
  expect(after.threadId).toBe('thread');
  expect(await inWork(after, 'kept.txt')).toBe('kept');
  expect(await toldTo(after)).toMatch(/You were resumed.*new/s);
  await expect(inWork(after, 'AGENTS.md')).rejects.toThrow('ENOENT');
  // The log of before would end this task.
  expect([await inWork(after, 'optio.log'), await inWork(after, 'optio.log.old')]).toEqual(['', 'DONE\n']);
  expect((await inWork(after, 'resume.log')).split('\n')).toEqual([
    expect.stringMatching(START),
    expect.stringMatching(START),
    '',
  ]);
  const rendered = parse(await readFile(join(after.folder.codexHome, 'config.toml'), 'utf8'));
  expect(rendered['model_verbosity']).toBe('low');
  expect(rendered['projects']).toEqual({ [after.folder.work]: { trust_level: 'untrusted' } });
  expect(JSON.stringify(rendered)).not.toContain(before.folder.root);

  const byItsId = await prepare(second, { ...changed, resume: { snapshotId } }, 't3');
  expect(await inWork(byItsId, 'kept.txt')).toBe('kept');
});

test.each([
  ['come back with the key of seeds', parseKeys(`k:${randomBytes(32).toString('base64')}`)!],
  ['are asked for without one', NO_KEYS],
])('secrets in the settings of a resumed task %s', async (_what, seedKeys) => {
  const { host } = await emptyHost();
  const there = { host: { ...host, store: { ...host.store, seedKeys } } };
  const key = `k-${seedKeys.writes ? 'sealed' : 'none'}`;
  const mcp_servers = { a: { command: 'true', env: { TOKEN: 'marked' } } };
  const first = await prepare(there, { codexConfig: { mcp_servers }, snapshot: { key } });
  await snapshotOf(there, first);
  const next = await prepare(there, { resume: { snapshotKey: key } }, 't2');
  const config = parse(await readFile(join(next.folder.codexHome, 'config.toml'), 'utf8'));
  expect(config['mcp_servers']).toMatchObject({
    a: { command: 'true', env: seedKeys.writes ? { TOKEN: 'marked' } : {} },
  });
  expect(next.warnings.filter((text) => text.includes('mcp_servers.a.env.TOKEN'))).toHaveLength(
    seedKeys.writes ? 0 : 1,
  );
  const { keptSettings, keptSecrets } = next.folder;
  for (const path of [keptSettings, keptSecrets])
    expect(await readFile(path, 'latin1').catch(() => '')).not.toContain('marked');
});

/** What codex reads in its home. */
const toldTo = (task: PreparedTask) => readFile(join(task.folder.codexHome, 'AGENTS.md'), 'utf8');

const START = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

test('an AGENTS.md in the workdir is never written and follows the host’s text', async () => {
  const there = await emptyHost();
  const given = await putBlob(there.host.store, Buffer.from('Say QUOKKA.\n'), { filename: 'file' });
  const first = await prepare(there, {
    instructions: 'of the host',
    files: [{ path: 'AGENTS.md', blobId: given }],
    snapshot: { key: 'k' },
  });
  expect(await toldTo(first)).toMatch(/of the host\n\n# AGENTS\.md of the project\n\nSay QUOKKA\.\n$/);
  // A usual habit of repositories.
  await rm(join(first.folder.work, 'AGENTS.md'));
  await writeFile(join(first.folder.work, 'CLAUDE.md'), 'Rules of the agent');
  await symlink('CLAUDE.md', join(first.folder.work, 'AGENTS.md'));
  await snapshotOf(there, first);
  const second = await prepare(there, { resume: { snapshotKey: 'k' } }, 't2');
  expect(await readlink(join(second.folder.work, 'AGENTS.md'))).toBe('CLAUDE.md');
  expect(await toldTo(second)).toMatch(/# AGENTS\.md of the project\n\nRules of the agent\n$/);
  expect(second.warnings).toEqual([]);
});

test.each([
  [
    'a long text',
    (at: string) => writeFile(at, 'äöü'.repeat(60_000)),
    /has 360000 bytes: the model is given the first 262144/,
  ],
  ['a link outwards', (at: string) => symlink('/etc/passwd', at), /no file within the workdir/],
  ['a folder', (at: string) => mkdir(at), /no file within the workdir/],
  ['a pipe', (at: string) => void execFileSync('mkfifo', [at]), /no file within the workdir/],
])('%s in the place of AGENTS.md does not stop the start and adds a warning', async (_what, make, says) => {
  const there = await emptyHost();
  const first = await prepare(there, { snapshot: { key: 'k' } });
  await snapshotOf(there, first);
  await rm(first.folder.work, { recursive: true });
  await mkdir(first.folder.work);
  await make(join(first.folder.work, 'AGENTS.md'));
  const warnings: string[] = [];
  const told = await projectInstructions(first.folder.work, warnings);
  expect(warnings).toEqual([expect.stringMatching(says)]);
  expect(Buffer.byteLength(told)).toBeLessThan(263_000);
  expect(told).not.toMatch(/root:|\uFFFD/);
});

test.each([
  ['a link', (at: string) => symlink('elsewhere', at)],
  ['a folder', (at: string) => mkdir(at)],
  ['a pipe', (at: string) => void execFileSync('mkfifo', [at])],
])('%s in the place of resume.log stays, and the task continues with a warning', async (_what, make) => {
  const work = await testFolder();
  await make(join(work, 'resume.log'));
  expect(await noteStart(work)).toMatch(/^This start is not noted in resume\.log/);
  expect(await readdir(work)).toEqual(['resume.log']);
});

test('a key without a snapshot starts fresh with a warning, an unknown id fails', async () => {
  const there = await emptyHost();
  const fresh = await prepare(there, { resume: { snapshotKey: 'none' } });
  expect(fresh.threadId).toBeNull();
  expect(fresh.warnings).toEqual(['No snapshot {"snapshotKey":"none"} yet: started fresh']);
  expect(await toldTo(fresh)).not.toContain('You were resumed');
  const unknown = prepare(there, { resume: { snapshotId: 'f'.repeat(24) } }, 't2');
  await expect(unknown).rejects.toMatchObject({ code: 'SnapshotUnreadable' });
});

test('Codex settings in the env of an older input are reported as left out', async () => {
  const { warnings } = await prepare(await emptyHost(), {}, 't1', { env: { CODEX_X: 'http://a.example' } });
  expect(warnings).toEqual([expect.stringMatching(/^env: only commands get CODEX_X: /)]);
});

test('a task that is never saved does not mention a resume', async () => {
  const task = await prepare(await emptyHost(), { snapshot: { checkpoint: 'off' } });
  await expect(inWork(task, 'resume.log')).rejects.toThrow('ENOENT');
  expect(await toldTo(task)).not.toContain('resume');
});

test('whoever waits for a restarting Codex is told that events cannot be written', async () => {
  const { host } = await emptyHost();
  Object.assign(host.config, { journalBytes: 800 });
  const prepared = await prepare({ host }, {});
  const { ref, journal, folder } = prepared;
  const stopping = new AbortController();
  host.tasks.set({ kind: 'recovering', ref, stopping, prepared, mounted: true, failed: null });
  const live = host.tasks.whenLive(ref, new AbortController().signal);
  // Each event begins a file of its own.
  await rm(folder.journal, { recursive: true });
  for (let n = 0; n < 3; n++) journal.append(JSON.stringify({ n, text: 'x'.repeat(200) }));
  await expect(live).rejects.toMatchObject({ code: 'HostUnfit' });
  expect(stopping.signal.aborted).toBe(true);
});

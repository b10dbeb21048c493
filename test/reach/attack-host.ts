import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type ListenOptions } from 'node:net';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { makePlaces, placesOf } from '../../src/codex/task-places.js';
import { openDataFolder } from '../../src/process/data-folder.js';
import { prepareProtocol } from '../../src/session/agent-channel/protocol-folder.js';
import { loadListenerSecret } from '../../src/listener-secret.js';
import type { TestTask } from '../codex/test-codex.js';

/** What `attacks.py` is told of where things lie, but for what differs from one run to the next. */
export interface Places {
  readonly work: string;
  readonly read: Readonly<Record<string, string>>;
  readonly write: Readonly<Record<string, string>>;
  readonly replace: Readonly<Record<string, string>>;
  readonly listenerSecret: string;
  readonly port: number;
  readonly socket: string;
  readonly dataSocket: string;
  readonly abstract: string;
  readonly codexSocket: string;
}

/** A host with secrets in every place, what listens on it, and a folder that is not the worker's. */
export interface AttackHost {
  readonly places: Places;
  /** Makes what comes into being while the task runs already. */
  fillLate(): Promise<void>;
  /** A process with the environment of a worker, which ends with the test. */
  newWorker(): ChildProcess;
  /** What to run for the attempts of one run, which leave `mark` behind; they ask for the places when they begin. */
  commandOf(run: { mark: string; worker: number }): Promise<string>;
  /** The worker of a run that has begun gives way to another, with a secret and sockets of its own. */
  restart(run: { mark: string; worker: ChildProcess }): Promise<ChildProcess>;
}

/** Each file that holds one has this, and what follows says whose it is. */
export const SECRET = 'SECRET-';

const LATE: readonly string[] = ['ended', 'unsaved', 'login', 'work of a later task'];

/** Fills the folders of a task and of what is around it, before its codex is launched. */
export async function attackHost(task: TestTask, outside: string): Promise<AttackHost> {
  const { dataDir } = task;
  const held = await openDataFolder(dataDir);
  onTestFinished(() => held.unlock());
  const own = join(dataDir, 'tasks', 'a');
  const other = join(dataDir, 'tasks', 'b');
  makePlaces(task.work);
  await prepareProtocol(task.work);
  const { user, bin, cache, temp, work } = placesOf(task.work);
  const read = {
    account: join(own, 'home', '.codex', 'auth.json'),
    'codex home': join(own, 'home', '.codex', 'sessions', 'r.jsonl'),
    journal: join(own, 'journal', 'ledger.jsonl'),
    record: join(own, 'process.json'),
    'work of b': join(other, 'work', 'other.txt'),
    'work of a later task': join(dataDir, 'tasks', 'late', 'work', 'file'),
    'account of b': join(other, 'home', '.codex', 'auth.json'),
    'journal of b': join(other, 'journal', 'ledger.jsonl'),
    ended: join(dataDir, 'ended', 'c', 'ledger.jsonl'),
    unsaved: join(dataDir, 'unsaved', 'c-1', 'file'),
    login: join(dataDir, 'login', 'l', 'home', '.codex', 'auth.json'),
    database: join(dataDir, 'dev', 'mongo', 'seeds'),
    'the home': join(outside, 'home', '.ssh', 'id'),
    'temp of others': join('/tmp', `reach-${process.pid}`),
    'lasting temp of others': join('/var/tmp', `reach-${process.pid}`),
    'shared memory of others': join('/dev/shm', `reach-${process.pid}`),
  };
  const isLate = (name: string) => LATE.includes(name);
  const fill = async (names: string[]) => {
    for (const [name, path] of Object.entries(read))
      if (names.includes(name)) await put(path, `${SECRET}${name}\n`);
  };
  await fill(Object.keys(read).filter((name) => !isLate(name)));
  const shared = [read['temp of others'], read['lasting temp of others'], read['shared memory of others']];
  onTestFinished(async () => {
    for (const path of shared) await rm(path, { force: true });
  });
  const write = {
    work: join(work, 'new'),
    cache: join(cache, 'new'),
    temp: join(temp, 'new'),
    'temp of others': read['temp of others'],
    'lasting temp of others': read['lasting temp of others'],
    'the home': join(outside, 'home', '.bashrc'),
    'the user': join(outside, 'new'),
    'an entry of PATH': join(outside, 'bin', 'git'),
    'own PATH': join(bin, 'git'),
    'own HOME': join(user, '.bashrc'),
    'codex home': join(own, 'home', '.codex', 'config.toml'),
    instructions: join(own, 'home', '.codex', 'AGENTS.md'),
    account: read.account,
    journal: read.journal,
    record: join(own, 'process.json'),
    deadline: join(own, 'deadline'),
    'work of b': join(other, 'work', 'new'),
    'account of b': read['account of b'],
    'data folder': join(dataDir, 'new'),
    secret: join(dataDir, 'listener-secret'),
    hooks: join(work, '.git', 'hooks', 'post-checkout'),
    'git config': join(work, '.git', 'config'),
    'project config': join(work, '.codex', 'config.toml'),
    skills: join(work, '.agents', 'new'),
    'project instructions': join(work, 'AGENTS.md'),
    'project programs': join(work, 'node_modules', '.bin', 'git'),
  };
  const replace = { account: read.account, 'codex home': join(own, 'home', '.codex', 'config.toml') };
  for (const path of [
    write['codex home'],
    write.instructions,
    write.hooks,
    write['git config'],
    write['an entry of PATH'],
  ])
    await mkdir(dirname(path), { recursive: true });
  await loadListenerSecret(dataDir, `${SECRET}${'l'.repeat(40)}`);
  let starts = 0;
  const listen = async () => {
    const n = ++starts;
    const socket = join(work, `s${n}`);
    const dataSocket = join(dataDir, 'dev', `s${n}`);
    const abstract = `reach-${process.pid}-${n}-${Date.now().toString(36)}`;
    const { port } = (await greet({ port: 0, host: '127.0.0.1' })) as AddressInfo;
    for (const path of [socket, dataSocket, `\0${abstract}`]) await greet({ path });
    return { port, socket, dataSocket, abstract };
  };
  const places = {
    work,
    read: { ...read, secret: join(dataDir, 'listener-secret') },
    write,
    replace,
    listenerSecret: join(dataDir, 'listener-secret'),
    ...(await listen()),
    codexSocket: task.socket,
  };
  // Where sandboxed commands find it too.
  const fileOf = (mark: string) => join(work, `places-${mark}.json`);
  const newWorker = () => {
    const env = {
      PATH: process.env['PATH'],
      MONGODB_URI: `mongodb://u:${SECRET}uri@h/db`,
      CODEX_TASK_PAYLOAD_KEY: `${SECRET}key`,
    };
    const worker = spawn('sleep', ['600'], { env, stdio: 'ignore', cwd: own });
    onTestFinished(() => void worker.kill('SIGKILL'));
    return worker;
  };
  return {
    places,
    fillLate: () => fill([...LATE]),
    newWorker,
    async restart({ mark, worker }) {
      const ended = once(worker, 'exit');
      worker.kill('SIGKILL');
      await ended;
      const next = newWorker();
      await loadListenerSecret(dataDir, `${SECRET}${'m'.repeat(40)}`);
      await writeFile(fileOf(mark), JSON.stringify({ ...places, ...(await listen()), worker: next.pid }));
      return next;
    },
    async commandOf({ mark, worker }) {
      const file = fileOf(mark);
      await writeFile(file, JSON.stringify({ ...places, worker }));
      const attacks = join(work, 'attacks.py');
      await copyFile(new URL('attacks.py', import.meta.url), attacks);
      return `python3 ${attacks} ${file} ${mark}`;
    },
  };
}

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(path, text, { mode: 0o600 });
}

/** Says hello to whoever connects there. */
async function greet(where: ListenOptions): Promise<string | AddressInfo | null> {
  const server = createServer((socket) => socket.on('error', () => undefined).end('hello')).listen(where);
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  return server.address();
}

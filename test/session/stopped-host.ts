import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { packageRoot } from '../../src/dev/package-root.js';
import { readDeadline, uptimeSeconds } from '../../src/process/deadline.js';
import { adoptTasks } from '../../src/session/host/adopt-tasks.js';
import { endSession } from '../../src/session/task/end-task.js';
import type { HostContext } from '../../src/session/model/host-context.js';
import { HostTasks } from '../../src/session/model/host-tasks.js';
import { taskFolder, type TaskFolder } from '../../src/task-folder/task-folder.js';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { quarantineOf } from '../../src/store/collections.js';
import { type Store } from '../../src/store/mongo.js';
import { readQuarantined } from '../../src/store/quarantine.js';
import { insertSeed, readSeed } from '../../src/store/seeds.js';
import { seedOf } from '../store/support.js';
import { mountSmallDisk } from '../chaos/small-disk.js';
import { testFolder } from '../support/folders.js';
import { startMongoProxy } from '../support/mongo-proxy.js';
import { closeFilesOfTheDead } from '../support/open-files.js';
import type { OAuthServer } from '../support/oauth-server.js';
import { accountHost } from './account/account-session.js';
import type { Life } from './mortal-worker.js';
import { comesTo, goesOn, type State } from './task-states.js';
import { openStore } from '../../src/store/open-store.js';

const TTL_MS = 60_000;
const DISK = '24m';

/** What else is wrong meanwhile. */
export const TROUBLES = [
  'nothing',
  'full disk',
  'dead database',
  'dead Temporal',
  'database and Temporal dead',
] as const;
export type Trouble = (typeof TROUBLES)[number];

/** What tests of a file share: a database, its own process of a guard, accounts. */
export interface World {
  readonly uri: string;
  readonly store: Store;
  readonly oauth: OAuthServer;
  /** Where the package is built; null: no guard is started. */
  readonly folder: string | null;
}

/** A host with one task whose account's token is newer on its disk than in the database. */
export interface StoppedHost {
  readonly host: HostContext;
  readonly ref: { taskId: string; runId: string; assignmentId: string };
  /** Whether its log has this. */
  said(message: string): boolean;
  /** What it logged, for a failure that is to be explained. */
  log(): string;
  /** The worker is gone, in whatever way: its guard is alone. */
  workerEnds(): void;
  /** Codexes of this host, seen from outside, and the guards. */
  alive(): Promise<{ codexes: number; guards: number }>;
  /** Whether the guard is to stop it within ten minutes at the latest. */
  hasDeadline(): Promise<boolean>;
  /** Where the newest token is: `seed`, `quarantine`, `disk`. */
  places(): Promise<string[]>;
  /** All is well again. */
  heals(): Promise<void>;
  /** The lease of its account lasts so long by the database. Milliseconds. */
  leftMs(): Promise<number>;
  /** The next worker takes up what is there. */
  nextWorker(): Promise<HostContext>;
}

const REF = { runId: 'r1', assignmentId: 's' };

/** Starts one and brings it to where it is told to stop. `life`: of a worker that is to be killed. */
export const startStoppedHost = (
  world: World,
  state: State,
  trouble: Trouble,
  life?: Life,
): Promise<StoppedHost> =>
  life ? life.live(() => start(world, state, trouble, life)) : start(world, state, trouble);

async function start(world: World, state: State, trouble: Trouble, life?: Life): Promise<StoppedHost> {
  const { oauth, store } = world;
  const base = await testFolder();
  const disk = trouble === 'full disk' ? await mountSmallDisk(base, DISK) : null;
  if (disk) onTestFinished(() => disk.unmount());
  const dataDir = join(base, 'data');
  onTestFinished(() => closeFilesOfTheDead(dataDir));
  await mkdir(join(dataDir, 'tasks'), { recursive: true });
  const proxy = await startMongoProxy(world.uri);
  const hostStore = await openStore({
    uri: proxy.uri,
    prefix: 'optio',
    connectTimeoutMs: 2_000,
    monitorCommands: life !== undefined,
  });
  onTestFinished(() => hostStore.close());
  hostStore.client.on('commandStarted', ({ commandName }) => {
    if (life?.step(`database ${commandName}`) === false) proxy.cut();
  });
  // What a dead worker still waits for ends with the test.
  onTestFinished(() => (life ? proxy.cut() : undefined));
  const ref = { ...REF, taskId: `t-${base.slice(-6).replaceAll(/\W/g, '')}` };
  const folder = taskFolder(dataDir, ref.taskId);
  const log: string[] = [];
  const down = { temporal: false };
  const host = await contextOf(dataDir, hostStore, oauth, log, down);
  const guard = world.folder === null ? null : startGuard(world.folder, dataDir);
  const before = oauth.login();
  const seedId = await insertSeed(store, { authJson: before, pool: ref.taskId });
  const acquired = await acquireSeed(store, { seedId }, `${ref.taskId}/r1/s`, TTL_MS);
  if (acquired.kind !== 'leased') throw new Error(acquired.kind);
  await comesTo(state, host, ref, acquired.lease);
  let newest = before;
  const rotates = state !== 'preparing' && state !== 'launching' && state !== 'parked';
  if (rotates) newest = await rotate(oauth, folder);
  if (disk) disk.fill();
  if (trouble.includes('atabase')) proxy.cut();
  down.temporal = trouble.includes('Temporal');
  goesOn(state, host, ref, acquired.lease);
  return {
    host,
    ref,
    said: (message) => log.some((line) => line.includes(`"${message}"`)),
    log: () => log.join(''),
    workerEnds: () => guard?.stdin.destroy(),
    alive: () => processesOf(dataDir),
    async hasDeadline() {
      const deadlines = await Promise.all([readDeadline(folder.root), readDeadline(dataDir)]);
      const left = Math.min(...deadlines.map((each) => (each ?? Infinity) - uptimeSeconds()));
      return left < 600;
    },
    async places() {
      const places: string[] = [];
      // On its way a token is in the next place before it leaves the last one: one that moves meanwhile is seen.
      if ((await readFile(folder.authJson).catch(() => null))?.equals(newest)) places.push('disk');
      for (const { _id } of await quarantineOf(store).find({ seedId }).toArray())
        if ((await readQuarantined(store, _id.toHexString()))?.equals(newest)) places.push('quarantine');
      if ((await readSeed(store, seedId))?.authJson?.equals(newest)) places.push('seed');
      return places;
    },
    async heals() {
      proxy.mend();
      await disk?.free();
      down.temporal = false;
    },
    leftMs: async () => (await seedOf(store, seedId)).lease!.expiresAt.getTime() - Date.now(),
    async nextWorker() {
      const next = await contextOf(dataDir, store, oauth, [], { temporal: false });
      await adoptTasks(next);
      onTestFinished(() => endSession(next, ref, { atOnce: true }));
      return next;
    },
  };
}

async function contextOf(
  dataDir: string,
  store: Store,
  oauth: OAuthServer,
  log: string[],
  down: { temporal: boolean },
): Promise<HostContext> {
  const host = await accountHost(dataDir, store, oauth, TTL_MS);
  const unlessDown = <T>(answer: T) =>
    down.temporal ? Promise.reject(new Error('14 UNAVAILABLE')) : Promise.resolve(answer);
  return Object.assign(host, {
    codex: { path: join(packageRoot, 'test/fakes/codex-program.mjs'), version: '0.171.0' },
    config: { ...host.config, drainWaitMs: 300 },
    tasks: new HostTasks(10),
    log: pino({ level: 'info' }, { write: (line: string) => void log.push(line) }),
    isRunning: () => unlessDown(true),
    signalWorkflow: () => unlessDown('sent' as const),
  });
}

/** The worker's guard, from the build. */
function startGuard(folder: string, dataDir: string) {
  const child = spawn(process.execPath, [join(folder, 'lib/guard/main.js'), dataDir], {
    detached: true,
    stdio: ['pipe', 'ignore', 'inherit'],
    cwd: dataDir,
  });
  const gone = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await gone;
  });
  return child;
}

/** Codex has refreshed its tokens, and nobody has seen it yet. */
async function rotate(oauth: OAuthServer, folder: TaskFolder): Promise<Buffer> {
  const next = oauth.login();
  await writeFile(`${folder.authJson}.next`, next, { mode: 0o600 });
  await rename(`${folder.authJson}.next`, folder.authJson);
  return next;
}

async function processesOf(dataDir: string): Promise<{ codexes: number; guards: number }> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  const ours = commands.filter((each) => each.includes(dataDir));
  return {
    codexes: ours.filter((each) => each.includes('app-server')).length,
    guards: ours.filter((each) => each.includes('guard/main.js')).length,
  };
}

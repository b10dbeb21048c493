import { readFile } from 'node:fs/promises';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { findCodex } from '../../../src/codex/binary.js';
import type { CodexTaskInput } from '../../../src/contract/index.js';
import { assistantMessage, fail, startModelServer, type ModelScript } from '../../../src/dev/model-server.js';
import { endSession } from '../../../src/session/task/end-task.js';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { readConfig } from '../../../src/config.js';
import { HostTasks } from '../../../src/session/model/host-tasks.js';
import { launchSession } from '../../../src/session/connect/launch-session.js';
import type { LiveSession } from '../../../src/session/model/live-session.js';
import type { PreparedTask } from '../../../src/session/model/prepared-task.js';
import { prepareTask } from '../../../src/session/task/prepare-task.js';
import { readProcessRecord } from '../../../src/task-folder/process-record.js';
import { watchCredential } from '../../../src/session/account/watch-credential.js';
import type { LeaseRef } from '../../../src/contract/activities.js';
import { acquireSeed } from '../../../src/store/acquire-seed.js';
import { seedsOf, objectIdOf } from '../../../src/store/collections.js';
import type { Lease } from '../../../src/store/leases.js';
import { type Store } from '../../../src/store/mongo.js';
import { insertSeed, readSeed } from '../../../src/store/seeds.js';
import { parseTaskInput } from '../../../src/input/parse-task-input.js';
import { connect } from '../../codex/test-codex.js';
import type { SessionEvent } from '../../fakes/memory-journal.js';
import { testFolder } from '../../support/folders.js';
import { openTestDatabase } from '../../support/mongo.js';
import { startOAuthServer, type Login, type OAuthServer } from '../../support/oauth-server.js';
import { until } from '../../support/until.js';
import { openStore } from '../../../src/store/open-store.js';

export const POOL = 'accounts';

/** A real codex on a leased seed of a ChatGPT account, as a worker runs it, its credential not yet watched. */
export interface AccountSession {
  readonly host: HostContext;
  readonly oauth: OAuthServer;
  readonly store: Store;
  readonly lease: Lease;
  readonly task: PreparedTask;
  readonly session: LiveSession;
  /** What the workflow was told. */
  readonly signals: { name: string; argument: unknown }[];
  /** Asks for a turn; resolves when its message was taken. */
  send(text: string): Promise<unknown>;
  events(): Promise<SessionEvent[]>;
  /** The first event of this method or type that `matches`, waited for. */
  saw(name: string, matches?: (event: SessionEvent) => boolean): Promise<SessionEvent>;
  /** The auth.json in the seed, and the one on disk. */
  inSeed(): Promise<Buffer>;
  onDisk(): Promise<Buffer>;
  seedStatus(): Promise<string | undefined>;
  /** Makes codex refresh now. */
  rotate(): Promise<void>;
  /** Watches the credential as a worker does; its end, with what it ended by. */
  watch(): { ended: Promise<unknown>; stop(): Promise<void> };
  /** Another holder takes the seed, as after a lease that ran out. */
  steal(): Promise<Lease>;
}

export interface AccountOptions {
  login?: Login;
  /** In place of a login of ChatGPT. */
  authJson?: Buffer;
  script?: (oauth: OAuthServer) => ModelScript;
  input?: CodexTaskInput;
  leaseTtlMs?: number;
  /** Of the environment of codex's host, beside where its tokens are refreshed. */
  workerEnv?: Record<string, string>;
  /** Where codex's host reaches the database; default: directly. */
  mongoUri?: (uri: string) => Promise<string>;
}

/** Refuses codex's token until it refreshed, then answers. */
export const refusesOnce = (oauth: OAuthServer): ModelScript => {
  return () =>
    oauth.refreshes().some(({ status }) => status === 200)
      ? [assistantMessage('done')]
      : [fail(401, { body: { error: { message: 'expired' } } })];
};

export async function startAccountSession(options: AccountOptions = {}): Promise<AccountSession> {
  const { leaseTtlMs = 60_000, login, script = refusesOnce } = options;
  const oauth = await startOAuthServer();
  const model = await startModelServer({ script: script(oauth) });
  onTestFinished(() => model.close());
  const database = await openTestDatabase();
  onTestFinished(() => database.close());
  const store = await openStore({ uri: database.uri, prefix: 'optio' });
  onTestFinished(() => store.close());
  let hostStore = store;
  if (options.mongoUri) {
    const uri = await options.mongoUri(database.uri);
    hostStore = await openStore({ uri, prefix: 'optio', connectTimeoutMs: 3_000 });
    onTestFinished(() => hostStore.close());
  }
  const seedId = await insertSeed(store, { authJson: options.authJson ?? oauth.login(login), pool: POOL });
  const acquired = await acquireSeed(store, { seedId }, 't1/r1', leaseTtlMs);
  if (acquired.kind !== 'leased') throw new Error(acquired.kind);
  const { lease } = acquired;
  const signals: AccountSession['signals'] = [];
  const host = await accountHost(await testFolder(), hostStore, oauth, leaseTtlMs, signals);
  Object.assign(host.env, options.workerEnv);
  const ref = { taskId: 't1', runId: 'r1', assignmentId: 's' };
  const provider = { name: 'm', base_url: model.url, wire_api: 'responses', requires_openai_auth: true };
  const codexConfig = {
    model: 'gpt-5.5',
    model_provider: 'm',
    model_providers: { m: provider },
    chatgpt_base_url: oauth.backendUrl,
  };
  const input = { mode: 'conversation', credential: { seedId }, codexConfig, ...options.input } as const;
  host.tasks.claim(ref);
  const task = await prepareTask(host, { ref, spec: parseTaskInput(input, 't1'), lease });
  onTestFinished(() => task.journal.close(0));
  onTestFinished(() => task.ledger.close());
  const stopping = new AbortController();
  const session = await launchSession(host, task, stopping.signal);
  // Each step of a workflow has a copy of its own.
  host.tasks.set({ kind: 'live', ref: { ...ref }, stopping, prepared: task, session, mounted: true });
  // A test says itself from when on the account is watched.
  host.tasks.endWatch(ref.taskId);
  onTestFinished(() => endSession(host, ref, { atOnce: true }));
  session.thread.turns.begin();
  let messages = 0;
  const events = () => readEvents(task);
  const inSeed = async () => (await readSeed(store, seedId))!.authJson!;
  return {
    host,
    oauth,
    store,
    lease,
    task,
    session,
    signals,
    events,
    inSeed,
    send: (text) => session.thread.accept({ messageId: `m${++messages}`, text }),
    saw: (name, matches = () => true) =>
      until(
        name,
        async () => (await events()).find((each) => (each.method ?? each.type) === name && matches(each)),
        20_000,
      ),
    onDisk: () => readFile(task.folder.authJson),
    seedStatus: async () => (await seedsOf(store).findOne({ _id: objectIdOf(seedId)! }))?.status,
    async rotate() {
      const { rpc } = await connect(task.folder.socket);
      const before = oauth.refreshes().length;
      await rpc.call('account/read', { refreshToken: true }, { timeoutMs: 10_000 }).catch(() => undefined);
      rpc.close();
      if (oauth.refreshes().length === before) throw new Error('codex did not refresh');
    },
    watch: () => startWatch(host, lease, task),
    async steal() {
      const past = { $set: { 'lease.expiresAt': new Date(0) } };
      // Whoever watches it may renew it between the two.
      return until('a stolen lease', async () => {
        await seedsOf(store).updateOne({ _id: objectIdOf(seedId)! }, past);
        const stolen = await acquireSeed(store, { pool: POOL }, 'other/r9', leaseTtlMs);
        return stolen.kind === 'leased' && stolen.lease;
      });
    },
  };
}

/** A host context as the worker makes it, without Temporal. */
export async function accountHost(
  dataDir: string,
  store: Store,
  oauth: OAuthServer,
  leaseTtlMs: number,
  signals: AccountSession['signals'] = [],
): Promise<HostContext> {
  return {
    config: readConfig({ CODEX_TASK_DATA_DIR: dataDir, CODEX_TASK_MIN_FREE_BYTES: '1' }),
    hostLease: { isHeld: () => true, whenHeld: () => Promise.resolve(), isToEvict: () => false },
    codex: await findCodex(),
    env: { ...process.env, ...oauth.env },
    hostId: 'h1',
    log: pino({ enabled: false }),
    store,
    tasks: new HostTasks(10),
    accounts: { saved: 0, quarantined: 0 },
    leaseTtlMs,
    guard: () => undefined,
    isRunning: () => Promise.resolve(true),
    taskUrl: (taskId: string) => `http://127.0.0.1/tasks/${taskId}`,
    signalWorkflow(_ref: unknown, name: string, argument: unknown) {
      signals.push({ name, argument });
      return Promise.resolve('sent' as const);
    },
  } as unknown as HostContext;
}

function startWatch(host: HostContext, lease: LeaseRef, task: PreparedTask) {
  const stopped = new AbortController();
  const ended = watchCredential(
    host,
    't1',
    lease,
    { find: () => task, usesSeed: () => true },
    stopped.signal,
  ).then(
    () => null,
    (error: unknown) => error,
  );
  const stop = async () => {
    stopped.abort();
    await ended;
  };
  onTestFinished(stop);
  return { ended, stop };
}

async function readEvents({ journal }: PreparedTask): Promise<SessionEvent[]> {
  await journal.flushed();
  const events: SessionEvent[] = [];
  for (let after = 0; ;) {
    const frames = await journal.read(after, 1024 * 1024);
    if (!frames) return events;
    for (const [, data] of frames.bytes.toString().matchAll(/^data: (.*)$/gm))
      events.push(JSON.parse(data!) as SessionEvent);
    after = frames.lastId;
  }
}

/** The hash in `process.json` of what the database has. */
export const savedHash = async ({ folder }: PreparedTask) => (await readProcessRecord(folder))?.savedSha256;

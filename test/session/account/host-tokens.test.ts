import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { renderConfig } from '../../../src/codex/config-toml.js';
import { assistantMessage, fail, modelProvider, startModelServer } from '../../../src/dev/model-server.js';
import type { Rpc } from '../../../src/codex/rpc.js';
import { openHostTokens } from '../../../src/session/account/host-tokens.js';
import { launchSession } from '../../../src/session/connect/launch-session.js';
import type { LiveSession } from '../../../src/session/model/live-session.js';
import { openLedger } from '../../../src/task-folder/ledger.js';
import type { PreparedTask } from '../../../src/session/model/prepared-task.js';
import { taskFolder } from '../../../src/task-folder/task-folder.js';
import { insertSeed } from '../../../src/store/seeds.js';
import { seedsOf } from '../../../src/store/collections.js';
import type { Store } from '../../../src/store/mongo.js';
import { parseTaskInput } from '../../../src/input/parse-task-input.js';
import { authOf, filesWith, refreshTokenOf, seedFor, testHost } from '../../credentials/host.js';
import { memoryJournal } from '../../fakes/memory-journal.js';
import { preparedTask } from '../../fakes/prepared-task.js';
import { foreignAcquire, lease as leaseSeed, seedOf, useStore } from '../../store/support.js';
import { startOAuthServer, type Login, type OAuthServer } from '../../support/oauth-server.js';
import { until } from '../../support/until.js';

const use = useStore();
let oauth: OAuthServer;
let store: Store;
beforeEach(async () => {
  oauth = await startOAuthServer();
  store = use.store;
});

/** A task without a credential on disk, in front of a model that refuses all tokens but the account's newest. */
async function startTask(login: Login = {}, wrap: (store: Store) => Store = (same) => same) {
  const authJson = oauth.login(login);
  const seedId = await seedFor(store, oauth, authJson);
  const lease = await leaseSeed(store, { seedId }, 't1/r1');
  const { host, dataDir, logged } = await testHost(wrap(store), oauth.env);
  const refused = new Set<string>();
  const used: string[] = [];
  const model = await startModelServer({
    script({ headers }) {
      const token = headers.authorization ?? '';
      used.push(token);
      return refused.has(token) ? [fail(401)] : [assistantMessage('hello')];
    },
  });
  onTestFinished(() => model.close());
  const spec = parseTaskInput(
    {
      mode: 'conversation',
      credential: { seedId, hostOwnedTokens: true },
      sandbox: { mode: 'danger-full-access' },
    },
    't1',
  );
  const folder = taskFolder(dataDir, 't1');
  for (const path of [folder.work, folder.codexHome, folder.journal])
    await mkdir(path, { recursive: true, mode: 0o700 });
  const provider = modelProvider(model.url);
  const scripted = { ...provider.model_providers.scripted, requires_openai_auth: true };
  const config = renderConfig({
    dataDir,
    workDir: folder.work,
    sandbox: spec.sandbox,
    codexConfig: {
      model: 'gpt-5.5',
      chatgpt_base_url: oauth.backendUrl,
      model_provider: 'scripted',
      model_providers: { scripted },
    },
  });
  await writeFile(join(folder.codexHome, 'config.toml'), config);
  const { journal, events } = memoryJournal();
  const ledger = await openLedger(folder.ledger);
  onTestFinished(() => ledger.close());
  const prepared: PreparedTask = { ...preparedTask({ spec, folder, journal, ledger }), lease };
  const turns = () => events.filter(({ method }) => method === 'turn/completed').length;
  const ask = async (session: LiveSession, messageId: string) => {
    const before = turns();
    await session.thread.accept({ messageId, text: 'hi' });
    await until('the end of a turn', () => turns() > before);
  };
  return { host, dataDir, logged, seedId, lease, authJson, prepared, refused, used, events, ask };
}

const launch = async ({ host, prepared }: Awaited<ReturnType<typeof startTask>>) => {
  const session = await launchSession(host, prepared, new AbortController().signal);
  onTestFinished(() => session.stop());
  session.thread.turns.begin();
  return session;
};

const statusOf = ({ events }: Awaited<ReturnType<typeof startTask>>) =>
  events
    .filter(({ method }) => method === 'turn/completed')
    .map(({ params }) => (params as { turn: { status: string } }).turn.status);

it('Codex works with access tokens alone, and the host renews refused ones', async () => {
  const task = await startTask();
  const session = await launch(task);
  await task.ask(session, 'm1');
  expect(oauth.refreshes()).toEqual([]);
  task.refused.add(task.used[0]!);
  await task.ask(session, 'm2');
  expect(statusOf(task)).toEqual(['completed', 'completed']);
  expect(new Set(task.used).size).toBe(2);
  expect(oauth.refreshes()).toHaveLength(1);
  const after = await authOf(store, task.seedId);
  expect(oauth.isGood(after)).toBe(true);
  expect(task.used.at(-1)).toBe(
    `Bearer ${(JSON.parse(after.toString()) as { tokens: { access_token: string } }).tokens.access_token}`,
  );
  for (const auth of [task.authJson, after])
    expect(await filesWith(task.dataDir, refreshTokenOf(auth))).toEqual([]);
  expect(JSON.stringify(task.logged)).not.toMatch(/rt-acc|eyJ/);
  expect(JSON.stringify(task.events)).not.toMatch(/rt-acc|eyJ|chatgptAuthTokens\/refresh/);
});

it('an access token that ends soon is renewed before Codex gets it', async () => {
  const task = await startTask({ expiresIn: 600 });
  await launch(task);
  expect(oauth.refreshes()).toHaveLength(1);
  expect(oauth.isGood(await authOf(store, task.seedId))).toBe(true);
});

it('Codex gets a new access token only once its refresh token is in the database', async () => {
  let isAway = false;
  let asked = 0;
  const task = await startTask({}, (real) => ({
    ...real,
    db: new Proxy(real.db, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        if (name !== 'collection') return value.bind(target) as unknown;
        return (collection: string) => {
          if (isAway && collection === 'fs.files') {
            asked++;
            throw new Error('the database is away');
          }
          return target.collection(collection);
        };
      },
    }),
  }));
  const session = await launch(task);
  await task.ask(session, 'm1');
  task.refused.add(task.used[0]!);
  isAway = true;
  const second = task.ask(session, 'm2');
  await until('an attempt to save', () => asked > 0);
  expect(oauth.isGood(await authOf(store, task.seedId))).toBe(false);
  expect(new Set(task.used).size).toBe(1);
  isAway = false;
  await second;
  expect(oauth.isGood(await authOf(store, task.seedId))).toBe(true);
  expect(statusOf(task)).toEqual(['completed', 'completed']);
  expect(oauth.refreshes()).toHaveLength(1);
});

it('a dead account ends the session and retires its seed', async () => {
  const task = await startTask();
  const session = await launch(task);
  await task.ask(session, 'm1');
  oauth.revoke(task.authJson);
  task.refused.add(task.used[0]!);
  await session.thread.accept({ messageId: 'm2', text: 'hi' });
  expect(await session.thread.turns.whenEnded()).toMatchObject({ kind: 'failed', code: 'CredentialDead' });
  expect((await seedOf(store, task.seedId)).status).toBe('dead');
});

it('a temporary refusal is retried and costs neither turn nor seed', async () => {
  const task = await startTask();
  const session = await launch(task);
  await task.ask(session, 'm1');
  // More than codex alone would try: it asks six times.
  oauth.refuse(...[500, 429, 503, 500, 429, 503, 500].map((status) => ({ status })));
  task.refused.add(task.used[0]!);
  await task.ask(session, 'm2');
  expect(statusOf(task)).toEqual(['completed', 'completed']);
  expect(oauth.refreshes().at(-1)?.status).toBe(200);
  expect((await seedOf(store, task.seedId)).status).toBeUndefined();
});

it('no token is refreshed without the lease', async () => {
  const task = await startTask();
  const session = await launch(task);
  await task.ask(session, 'm1');
  await foreignAcquire(store, task.seedId, 'other');
  task.refused.add(task.used[0]!);
  await session.thread.accept({ messageId: 'm2', text: 'hi' });
  expect(await session.thread.turns.whenEnded()).toMatchObject({ kind: 'failed', code: 'LeaseLost' });
  expect(oauth.refreshes()).toEqual([]);
  const seeds = await seedsOf(store).find().toArray();
  expect(seeds.filter(({ status }) => status === 'dead')).toEqual([]);
});

it('a seed with an API key is bad input and no dead login', async () => {
  const seedId = await insertSeed(store, { authJson: Buffer.from('{"OPENAI_API_KEY":"sk-1"}') });
  const lease = await leaseSeed(store, { seedId }, 't1/r1');
  const { host } = await testHost(store, oauth.env);
  await expect(openHostTokens(host, 't1', lease).login({} as Rpc)).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringMatching(/^credential\.hostOwnedTokens: .*leave it out$/) as string,
  });
  expect(await seedOf(store, seedId)).not.toHaveProperty('status');
});

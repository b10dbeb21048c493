import { expect, test } from 'vitest';
import { readConfig } from '../../src/config.js';
import { readSettings, type WorkerSettings } from '../../src/worker/worker-settings.js';

const HOME = { HOME: '/home/somebody' };
const KEY = Buffer.alloc(32, 7).toString('base64');

const EVERY: Required<Omit<WorkerSettings, 'env'>> = {
  taskQueue: 'mine',
  mongodbUri: 'mongodb://127.0.0.1:1/mine',
  mongoPrefix: 'mine',
  dataDir: '/data/mine',
  listen: { host: '::1', port: 0 },
  publicUrl: 'https://codex.example',
  listenerSecret: 's'.repeat(32),
  seedKey: `seeds:${KEY}`,
  payloadKey: `payloads:${KEY}`,
  maxSessions: 3,
  leaseTtlMs: 7_000,
  keepEndedMs: 1,
  journalBytes: 2,
  minFreeBytes: 3,
  commandEnv: ['FIRST', 'SECOND'],
  gitAuthor: { name: 'A Person', email: 'person@example.com' },
  corsOrigins: ['https://a.example', 'https://b.example'],
  codecOrigins: ['https://ui.example'],
  drain: 'move',
  drainWaitMs: 4,
  logLevel: 'warn',
};

test('each setting reaches the configuration, and takes the place of its variable', () => {
  const { config } = readSettings({ ...EVERY, env: { ...HOME, CODEX_TASK_QUEUE: 'other' } });
  const { seedKey: _, payloadKey: __, ...plain } = EVERY;
  expect(config).toMatchObject({ ...plain, claimQueue: 'mine-claims' });
  expect([config.seedKeys.writes?.id, config.payloadKeys.writes?.id]).toEqual(['seeds', 'payloads']);
  const unset = readConfig(HOME);
  expect(
    Object.entries(config).filter(([name, value]) => unset[name as keyof typeof unset] === value),
  ).toEqual([]);
});

test('what is not set comes from the environment, and then from the defaults', () => {
  const env = { ...HOME, CODEX_TASK_QUEUE: 'theirs', TEMPORAL_ADDRESS: 'temporal:7233' };
  const { config, env: all } = readSettings({ mongoPrefix: 'mine', taskQueue: undefined, env });
  expect(config).toEqual(readConfig({ ...env, CODEX_TASK_MONGO_PREFIX: 'mine' }));
  expect(all).toEqual({ ...env, CODEX_TASK_MONGO_PREFIX: 'mine' });
  expect(readSettings({ env: HOME }).config).toEqual(readConfig(HOME));
});

test('wrong settings are named all at once by their variables, without what may be a secret', () => {
  const wrong = { dataDir: 'here', maxSessions: 0.5, listenerSecret: 'too short', env: HOME };
  expect(() => readSettings(wrong)).toThrow(
    /^Wrong settings: CODEX_TASK_DATA_DIR: .*"here"; CODEX_TASK_LISTENER_SECRET: [^"]*; CODEX_TASK_MAX_SESSIONS: .*"0.5"$/,
  );
});

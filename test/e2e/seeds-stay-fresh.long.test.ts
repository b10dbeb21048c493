import { randomUUID } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CliIo } from '../../src/cli/io.js';
import { createOutput } from '../../src/cli/output.js';
import { run } from '../../src/cli/program.js';
import { assistantMessage, fail, modelProvider } from '../../src/dev/model-server.js';
import { isAlive } from '../../src/process/process-identity.js';
import { readProcessRecord } from '../../src/task-folder/process-record.js';
import { taskFolder } from '../../src/task-folder/task-folder.js';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { listSeeds } from '../../src/store/seed-info.js';
import type { SeedVerdict } from '../../src/contract/verification.js';
import { authOf, filesWith, refreshTokenOf, seedFor, taskFolders } from '../credentials/host.js';
import { seedOf } from '../store/support.js';
import { startOAuthServer, type OAuthServer } from '../support/oauth-server.js';
import { until } from '../support/until.js';
import { useRealStack } from './real-stack.js';

const API_KEY = 'sk-test-of-no-value';
let oauth: OAuthServer;
beforeAll(async () => {
  oauth = await startOAuthServer({ endsWithTest: false });
});
afterAll(() => oauth.close());

const stack = useRealStack(() => ({ ...oauth.env, CTT_API_KEY: API_KEY }));

/** Runs one command of `codex-task seeds` against the stack. */
async function seeds(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const streams = { stdout, stderr } as unknown as Parameters<typeof createOutput>[1];
  const io: CliIo = {
    env: { ...process.env, ...stack.line.env },
    stdin: new PassThrough(),
    output: (json) => createOutput(json === true, streams),
    untilSignal: () => new AbortController().signal,
  };
  const texts = [text(stdout), text(stderr)] as const;
  const code = await run(['seeds', ...args], io);
  stdout.end();
  stderr.end();
  const [out, err] = await Promise.all(texts);
  return { code, stdout: out, stderr: err };
}

const linesOf = (stdout: string) =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as SeedVerdict);
const NINE_DAYS_AGO = () => new Date(Date.now() - 9 * 86_400_000);
const stale = () => oauth.login({ accountId: randomUUID(), lastRefresh: NINE_DAYS_AGO() });

describe('codex-task seeds verify', () => {
  it('refreshes the idle stale seeds of a pool and reports each', async () => {
    const pool = randomUUID();
    const [good, revoked] = [stale(), stale()];
    const alive = await seedFor(stack.store, oauth, good, pool);
    const dead = await seedFor(stack.store, oauth, revoked, pool);
    oauth.revoke(revoked);
    const fresh = oauth.login();
    await seedFor(stack.store, oauth, fresh, pool);
    const busy = stale();
    const used = await seedFor(stack.store, oauth, busy, pool);
    await acquireSeed(stack.store, { seedId: used }, 'task/run', 60_000);

    const { code, stdout, stderr } = await seeds('verify', '--pool', pool, '--json');
    expect(code).toBe(0);
    expect(linesOf(stdout)).toEqual([
      expect.objectContaining({ seedId: alive, verdict: 'alive', reason: 'refreshed', rotated: true }),
      expect.objectContaining({ seedId: dead, verdict: 'dead', reason: 'refresh_token_invalidated' }),
    ]);
    expect(stderr).toBe(`Pool ${pool}: 2 verified, 1 fresh, 1 in use, 0 dead.\n`);
    const after = await authOf(stack.store, alive);
    expect(oauth.isGood(after)).toBe(true);
    expect(oauth.isGood(fresh) && oauth.isGood(busy)).toBe(true);
    expect((await listSeeds(stack.store, pool)).map(({ status }) => status).sort()).toEqual([
      'alive',
      'alive',
      'alive',
      'dead',
    ]);
    expect(await taskFolders(stack.line.dataDir)).toEqual([]);
    for (const auth of [good, after])
      expect(await filesWith(stack.line.dataDir + '/tasks', refreshTokenOf(auth))).toEqual([]);
  });

  it('checks one seed for a person, and fails for an unknown one', async () => {
    const seedId = await seedFor(stack.store, oauth, oauth.login());
    const { code, stdout } = await seeds('verify', '--seed', seedId);
    expect(code).toBe(0);
    expect(stdout).toBe(`${seedId}  alive        fresh: nothing refreshed  acc-1@example.org (plus)\n`);
    const unknown = await seeds('verify', '--seed', 'f'.repeat(24));
    expect(unknown).toMatchObject({ code: 3, stderr: `codex-task: Seed ${'f'.repeat(24)} is unknown\n` });
  });

  it('creates, changes and ends a schedule, whose runs verify alike', async () => {
    const pool = randomUUID();
    const seedId = await seedFor(stack.store, oauth, stale(), pool);
    const scheduleId = `verify-pool-${pool}`;
    const made = await seeds('verify', '--pool', pool, '--schedule', 'every=6h', '--json');
    expect(JSON.parse(made.stdout)).toMatchObject({ scheduleId, everyMs: 21_600_000, jitterMs: 600_000 });
    const changed = await seeds('verify', '--pool', pool, '--schedule', 'every=1h', '--json');
    expect(JSON.parse(changed.stdout)).toMatchObject({ scheduleId, everyMs: 3_600_000, jitterMs: 360_000 });
    const handle = stack.temporal.client.schedule.getHandle(scheduleId);
    const { spec, policies } = await handle.describe();
    expect(spec).toMatchObject({ intervals: [{ every: 3_600_000 }], jitter: 360_000 });
    expect(policies.overlap).toBe('SKIP');
    await handle.trigger();
    await until(
      'a verified seed',
      async () => (await seedOf(stack.store, seedId)).metadata?.['verify'] !== undefined,
      30_000,
    );
    expect(oauth.isGood(await authOf(stack.store, seedId))).toBe(true);
    expect((await seeds('verify', '--pool', pool, '--unschedule')).code).toBe(0);
    await expect(handle.describe()).rejects.toThrow();
    expect(await seeds('verify', '--pool', pool, '--unschedule')).toMatchObject({ code: 3 });
  });

  it.each([
    [['--pool', 'a', '--seed', 'b'], '--pool and --seed exclude each other'],
    [['--schedule', 'daily'], '--schedule: expected every=<number><s|m|h|d> of at least 1m, got "daily"'],
    [
      ['--schedule', 'every=5s'],
      '--schedule: expected every=<number><s|m|h|d> of at least 1m, got "every=5s"',
    ],
  ])('refuses %j', async (flags, message) => {
    expect(await seeds('verify', ...flags)).toMatchObject({ code: 2, stderr: `codex-task: ${message}\n` });
  });

  it('survives the death of its worker in a refresh, whose token is saved later', async () => {
    const seedId = await seedFor(stack.store, oauth, stale());
    const held = oauth.hold();
    const workflowId = `verify-${randomUUID()}`;
    const handle = await stack.temporal.client.workflow.start('verifySeed', {
      workflowId,
      taskQueue: 'codex-tasks',
      args: [{ seedId }],
    });
    await held.arrived;
    const [name] = await taskFolders(stack.line.dataDir);
    const record = await readProcessRecord(taskFolder(stack.line.dataDir, name!));
    const back = stack.endWorker('SIGKILL');
    await until('codex without its worker', async () => isAlive(record!));
    held.release();
    await back;
    expect(oauth.isGood(await authOf(stack.store, seedId))).toBe(true);
    expect(await isAlive(record!)).toBe(false);
    expect((await seedOf(stack.store, seedId)).lease).toBeNull();
    expect(await taskFolders(stack.line.dataDir)).toEqual([]);
    await handle.terminate('seen enough');
  });
});

describe('credentials without a file', () => {
  it('survive the worker’s death as host-owned tokens, with no refresh token in a file', async () => {
    const login = oauth.login({ accountId: randomUUID() });
    const seedId = await seedFor(stack.store, oauth, login);
    const refused = new Set<string>();
    const used: string[] = [];
    stack.play(({ headers }) => {
      const token = headers.authorization ?? '';
      used.push(token);
      return refused.has(token) ? [fail(401)] : [assistantMessage('hello')];
    });
    const provider = modelProvider(stack.model.url);
    const scripted = { ...provider.model_providers.scripted, requires_openai_auth: true };
    const task = await stack.client.start(`owned-${randomUUID()}`, {
      mode: 'conversation',
      prompt: 'hi',
      credential: { seedId, hostOwnedTokens: true },
      codexConfig: { ...provider, model_providers: { scripted }, chatgpt_base_url: oauth.backendUrl },
    });
    const turns = (count: number) =>
      until(
        `${count} turns`,
        async () => ((await task.status().catch(() => null))?.turns ?? 0) >= count,
        40_000,
      );
    await turns(1);
    const folder = taskFolder(stack.line.dataDir, task.taskId);
    const before = await readProcessRecord(folder);
    expect(await filesWith(folder.root, refreshTokenOf(login))).toEqual([]);
    await stack.endWorker('SIGKILL');
    await task.sendMessage('again');
    await turns(2);
    expect(await readProcessRecord(folder)).toMatchObject({ pid: before!.pid });
    const spent = oauth.refreshes().length;
    refused.add(used[0]!);
    await task.sendMessage('with a new token');
    await turns(3);
    expect(oauth.refreshes()).toHaveLength(spent + 1);
    const renewed = await authOf(stack.store, seedId);
    expect(oauth.isGood(renewed)).toBe(true);
    for (const auth of [login, renewed])
      expect(await filesWith(folder.root, refreshTokenOf(auth))).toEqual([]);
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 3 });
    expect((await seedOf(stack.store, seedId)).lease).toBeNull();
    expect(await authOf(stack.store, seedId)).toEqual(renewed);
  });

  it('lease no seed for an API key, and capture none', async () => {
    const pool = randomUUID();
    const seedId = await seedFor(stack.store, oauth, oauth.login(), pool);
    const count = (await listSeeds(stack.store)).length;
    const keys: unknown[] = [];
    stack.play(({ headers }) => {
      keys.push(headers.authorization);
      return [assistantMessage('hello')];
    });
    const task = await stack.client.start(`key-${randomUUID()}`, {
      prompt: 'hi',
      credential: { apiKeyEnv: 'CTT_API_KEY' },
      captureSeed: { pool },
      codexConfig: modelProvider(stack.model.url),
    });
    expect(await task.result()).toMatchObject({ outcome: 'completed', turns: 1 });
    expect(keys).toEqual([`Bearer ${API_KEY}`]);
    expect((await task.result()).capturedSeedId).toBeUndefined();
    expect((await listSeeds(stack.store)).length).toBe(count);
    const { leaseEpoch, lastLeasedAt } = await seedOf(stack.store, seedId);
    expect({ leaseEpoch, lastLeasedAt }).toEqual({ leaseEpoch: undefined, lastLeasedAt: undefined });
  });
});

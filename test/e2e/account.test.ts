import { randomUUID } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { assistantMessage, fail } from '../../src/dev/model-server.js';
import { operatorToken } from '../../src/listener-secret.js';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { objectIdOf, seedsOf } from '../../src/store/collections.js';
import { listQuarantine, readQuarantined } from '../../src/store/quarantine.js';
import { insertSeed, readSeed } from '../../src/store/seeds.js';
import { startOAuthServer, type OAuthServer } from '../support/oauth-server.js';
import { until } from '../support/until.js';
import { useRealStack } from './real-stack.js';

let oauth: OAuthServer;
beforeAll(async () => {
  oauth = await startOAuthServer({ endsWithTest: false });
});
afterAll(() => oauth.close());

const stack = useRealStack(() => oauth.env);

/** A conversation on a seed of a ChatGPT account, once codex is idle. */
async function idleTask() {
  const pool = randomUUID();
  const seedId = await insertSeed(stack.store, { authJson: oauth.login(), pool });
  const taskId = `account-${randomUUID()}`;
  const provider = {
    name: 'scripted',
    base_url: stack.model.url,
    wire_api: 'responses',
    requires_openai_auth: true,
  };
  await stack.client.start(taskId, {
    mode: 'conversation',
    credential: { pool },
    codexConfig: {
      model_provider: 'scripted',
      model_providers: { scripted: provider },
      chatgpt_base_url: oauth.backendUrl,
    },
  });
  const task = stack.client.handle(taskId);
  await until('an idle task', async () => (await task.status().catch(() => null))?.state === 'idle', 60_000);
  const authJson = join(stack.line.dataDir, 'tasks', taskId, 'home/.codex/auth.json');
  return { task, taskId, seedId, pool, authJson };
}

/** The value of a figure of the worker. */
async function metric(name: string): Promise<number> {
  const secret = await stack.listenerSecret();
  const answer = await fetch(`${stack.line.listenerUrl}/metrics`, {
    headers: { authorization: `Bearer ${operatorToken(secret)}` },
  });
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await answer.text())?.[1]);
}

it('a quarantined credential shows in state, stream, search attribute and metrics', async () => {
  const { task, taskId, seedId, pool, authJson } = await idleTask();
  const seen: Record<string, unknown>[] = [];
  const read = (async () => {
    for await (const { event } of task.events()) seen.push(event);
  })();
  const refreshed = oauth.login();
  await writeFile(`${authJson}.next`, refreshed, { mode: 0o600 });
  const past = { $set: { 'lease.expiresAt': new Date(0) } };
  // Its worker may renew it between the two.
  await until('a stolen lease', async () => {
    await seedsOf(stack.store).updateOne({ _id: objectIdOf(seedId)! }, past);
    return (await acquireSeed(stack.store, { pool }, 'thief/r', 60_000)).kind === 'leased';
  });
  await rename(`${authJson}.next`, authJson);

  await expect(task.result()).rejects.toMatchObject({ code: 'LeaseLost' });
  await read;
  const [record] = await listQuarantine(stack.store, seedId);
  expect(await readQuarantined(stack.store, record!.quarantineId)).toEqual(refreshed);
  const status = await task.status();
  expect(status.quarantineId).toBe(record!.quarantineId);
  expect(status.warnings.join('\n')).toContain(`in quarantine as ${record!.quarantineId}`);
  const event = seen.find(({ type }) => type === 'x-optio-credential');
  expect(event).toMatchObject({ kind: 'quarantined', quarantineId: record!.quarantineId });
  expect(seen.at(-1)).toMatchObject({ type: 'x-optio-closed' });
  const { typedSearchAttributes } = await stack.temporal.client.workflow.getHandle(taskId).describe();
  const pairs = typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value] as const);
  expect(Object.fromEntries(pairs)).toMatchObject({ CodexQuarantine: record!.quarantineId });
  expect(await metric('codex_task_credentials_quarantined_total')).toBe(1);
});

it('a stopped worker loses no refresh in flight; the next worker continues with it', async () => {
  const { task, seedId } = await idleTask();
  let refused = false;
  stack.play(() => {
    if (refused) return [assistantMessage('done')];
    return [fail(401)];
  });
  const held = oauth.hold();
  await task.sendMessage('go');
  await held.arrived;
  refused = true;
  const saved = await metric('codex_task_credentials_saved_total');
  expect(saved).toBe(0);
  const { isBack } = await stack.signalWorker('SIGTERM');
  held.release();
  await isBack();
  const kept = (await readSeed(stack.store, seedId))!.authJson!;
  expect(oauth.isGood(kept)).toBe(true);
  await until('a turn', async () => (await task.status().catch(() => null))?.turns === 1, 60_000);
  await task.close();
  await task.result();
  expect(oauth.refreshes().every(({ gone, status }) => !gone && status === 200)).toBe(true);
  expect(oauth.isGood((await readSeed(stack.store, seedId))!.authJson!)).toBe(true);
}, 180_000);

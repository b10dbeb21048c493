import { cp, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { BUILT_IN_PROVIDER } from '../../src/codex/api-key.js';
import { moveThreads } from '../../src/codex/rollouts.js';
import { says, startModelStub } from '../fakes/model-stub.js';
import { testFolder } from '../support/folders.js';
import { startTestCodex } from './test-codex.js';

async function homeWith(files: Record<string, string>): Promise<string> {
  const home = await testFolder();
  const folder = join(home, 'sessions', '2026', '11', '30');
  await mkdir(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return home;
}
const readIn = (home: string, name: string) =>
  readFile(join(home, 'sessions', '2026', '11', '30', name), 'utf8');
const meta = (model_provider?: string) =>
  JSON.stringify({ type: 'session_meta', payload: { id: 't', instructions: 'é\\n', model_provider } });

const settings = (model_provider_id: string) =>
  JSON.stringify({ ordinal: 6, payload: { type: 'x', thread_settings: { model: 'm', model_provider_id } } });

test('a thread gets the provider wherever its rollout names one, without other changes', async () => {
  const rest = [
    '{"type":"x","payload":{"text":"\\"model_provider_id\\":\\"old\\"","model_provider":"old"}}',
    '"model_provider_id"',
    'y'.repeat(200_000),
    '"session_meta" unfinished',
  ].join('\n');
  const whole = (provider: string) =>
    [meta(provider), settings(provider), settings(provider), rest].join('\n');
  const home = await homeWith({ 'rollout-1.jsonl': whole('old'), 'rollout-2.jsonl': whole('new') });
  expect(await moveThreads(home, 'new')).toBe(1);
  for (const name of ['rollout-1.jsonl', 'rollout-2.jsonl'])
    expect(await readIn(home, name)).toBe(whole('new'));
  expect(await readdir(join(home, 'sessions', '2026', '11', '30'))).toEqual([
    'rollout-1.jsonl',
    'rollout-2.jsonl',
  ]);
  expect(await moveThreads(home, 'new')).toBe(0);
});

test('a thread that names no provider gets the built-in one', async () => {
  const home = await homeWith({ 'rollout-1.jsonl': `${meta()}\n` });
  expect(await moveThreads(home, BUILT_IN_PROVIDER)).toBe(0);
  expect(await moveThreads(home, 'new')).toBe(1);
  expect(await readIn(home, 'rollout-1.jsonl')).toBe(`${meta('new')}\n`);
});

test('a file that is no rollout stays as it is, and nothing outside is touched', async () => {
  const files = {
    'rollout-1.jsonl': 'no json\n',
    'rollout-2.jsonl': '{"type":"session_meta"',
    'rollout-3.jsonl': '{"type":"other","payload":{}}\n',
    'other.jsonl': `${meta('old')}\n`,
  };
  const home = await homeWith(files);
  const outside = await homeWith({ 'rollout-9.jsonl': `${meta('old')}\n` });
  await symlink(join(outside, 'sessions'), join(home, 'sessions', 'link'));
  await symlink(
    join(outside, 'sessions', '2026', '11', '30', 'rollout-9.jsonl'),
    join(home, 'sessions', 'rollout-8.jsonl'),
  );
  expect(await moveThreads(home, 'new')).toBe(0);
  for (const [name, content] of Object.entries(files)) expect(await readIn(home, name)).toBe(content);
  expect(await readIn(outside, 'rollout-9.jsonl')).toBe(`${meta('old')}\n`);
  await rm(join(home, 'sessions'), { recursive: true });
  expect(await moveThreads(home, 'new')).toBe(0);
});

test.each(['sessions', 'archived_sessions'])('a link in the place of %s is not followed', async (name) => {
  const outside = await homeWith({ 'rollout-9.jsonl': `${meta('old')}\n` });
  const home = await testFolder();
  await symlink(join(outside, 'sessions'), join(home, name));
  expect(await moveThreads(home, 'new')).toBe(0);
  expect(await readIn(outside, 'rollout-9.jsonl')).toBe(`${meta('old')}\n`);
});

test('a thread that already has the provider is read and not written', async () => {
  const home = await homeWith({ 'rollout-1.jsonl': `${meta('new')}\n` });
  const folder = join(home, 'sessions', '2026', '11', '30');
  const { mtimeMs } = await stat(folder);
  await moveThreads(home, 'new');
  expect((await stat(folder)).mtimeMs).toBe(mtimeMs);
});

test('a real codex calls the provider that its thread was moved to', async () => {
  const old = await startModelStub();
  onTestFinished(() => old.close());
  const provider = { name: 'old', base_url: old.baseUrl, wire_api: 'responses' };
  const before = await startTestCodex({
    config: () => ({ codexConfig: { model_provider: 'old', model_providers: { old: provider } } }),
  });
  const go = (threadId: string) => ({ threadId, input: [{ type: 'text' as const, text: 'go' }] });
  old.replies.push([says('from the old one')]);
  await before.rpc.call('turn/start', go(before.threadId), { timeoutMs: 10_000 });
  await before.saw('turn/completed');
  const after = await startTestCodex({
    async config({ codexHome }) {
      await cp(join(before.codexHome, 'sessions'), join(codexHome, 'sessions'), { recursive: true });
      expect(await moveThreads(codexHome, 'stub')).toBe(1);
      return {};
    },
  });
  const { threadId } = before;
  await after.rpc.call('thread/resume', { threadId, cwd: after.work }, { timeoutMs: 10_000 });
  after.model.replies.push([says('from the new one')]);
  await after.rpc.call('turn/start', go(threadId), { timeoutMs: 10_000 });
  await after.saw('turn/completed');
  expect(JSON.stringify(after.model.requests.at(-1)?.body)).toContain('from the old one');
  expect([old.requests.length, after.model.requests.length]).toEqual([1, 1]);
});

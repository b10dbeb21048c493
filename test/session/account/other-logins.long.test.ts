import { expect, test } from 'vitest';
import { assistantMessage, fail } from '../../../src/dev/model-server.js';
import { saveForGood } from '../../../src/session/account/save-credential.js';
import { startAccountSession } from './account-session.js';

test('a personal access token logs Codex in unchanged and is never refreshed', async () => {
  const authJson = Buffer.from('{"auth_mode":"personalAccessToken","personal_access_token":"at-1"}');
  const used: unknown[] = [];
  const each = await startAccountSession({
    authJson,
    // Codex asks there whose token it is.
    input: { passEnv: ['CODEX_AUTHAPI_BASE_URL'] },
    script: () => (request) => {
      used.push([request.headers['authorization'], request.headers['chatgpt-account-id']]);
      return [assistantMessage('done')];
    },
  });
  await each.send('hello');
  await each.saw(
    'turn/completed',
    ({ params }) => (params as { turn: { status: string } }).turn.status === 'completed',
  );
  expect(used).toEqual([['Bearer at-1', 'acc-1']]);
  expect(each.oauth.refreshes()).toEqual([]);
  await each.session.stop();
  expect(await saveForGood(each.host, each.task, each.lease)).toMatchObject({
    warnings: [],
    quarantineId: null,
  });
  expect(await each.inSeed()).toEqual(authJson);
});

test('a personal access token whose owner Codex could not look up retires no seed', async () => {
  const authJson = Buffer.from('{"auth_mode":"personalAccessToken","personal_access_token":"at-1"}');
  const each = await startAccountSession({
    authJson,
    input: { passEnv: ['CODEX_AUTHAPI_BASE_URL'] },
    workerEnv: { CODEX_AUTHAPI_BASE_URL: 'http://127.0.0.1:9' },
    script: () => () => [fail(401, { body: { error: { message: 'no token' } } })],
  });
  await each.send('hello');
  const { params } = await each.saw('turn/completed');
  expect(params).toMatchObject({ turn: { status: 'failed' } });
  expect((await each.events()).map(({ type }) => type)).not.toContain('x-optio-credential');
  expect(await each.seedStatus()).not.toBe('dead');
});

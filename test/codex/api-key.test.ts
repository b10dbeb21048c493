import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startModelStub } from '../fakes/model-stub.js';
import { startTestCodex } from './test-codex.js';

const KEY = 'key-of-the-model-0123';
const withKey = { workerEnv: { MODEL_KEY: KEY }, apiKeyEnv: 'MODEL_KEY' };

test('an API key reaches the configured provider as Bearer, and no file or command', async () => {
  const codex = await startTestCodex(withKey);
  expect(await codex.run('env')).not.toContain(KEY);
  expect(codex.model.requests.map(({ authorization }) => authorization)).toEqual([
    `Bearer ${KEY}`,
    `Bearer ${KEY}`,
  ]);
  const files = await readdir(join(codex.dataDir, 'tasks', 'a'), { recursive: true, withFileTypes: true });
  for (const file of files.filter((each) => each.isFile()))
    expect(await readFile(join(file.parentPath, file.name), 'latin1'), file.name).not.toContain(KEY);
});

test('an API key reaches OpenAI’s address without a configured provider', async () => {
  const model = await startModelStub();
  const codex = await startTestCodex({
    ...withKey,
    config: () => ({ codexConfig: { openai_base_url: model.baseUrl } }),
  });
  await codex.startTurn('true');
  await codex.saw('turn/completed');
  expect(model.requests[0]?.authorization).toBe(`Bearer ${KEY}`);
  await model.close();
});

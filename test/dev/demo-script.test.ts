import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { demoScript, requestsFor, startModelServer } from '../../src/dev/model-server.js';
import { testFolder } from '../support/folders.js';
import { runTurn } from './app-server.js';

test('the demonstration asks once, writes hello.txt when allowed and says so', async () => {
  const folder = await testFolder();
  const model = await startModelServer({ script: demoScript });
  onTestFinished(model.close);
  const turn = await runTurn(folder, model.url, 'Say hello', 'accept');
  expect(turn).toEqual({
    status: 'completed',
    approvals: 1,
    finalMessage: 'Done: hello.txt says "Hello from codex".',
  });
  expect(await readFile(join(folder, 'hello.txt'), 'utf8')).toBe('Hello from codex\n');
  expect(requestsFor(model.requests, 'Say hello')).toHaveLength(2);
  expect(model.requests).toHaveLength(2);
});

test('the demonstration says that nothing was done when its command is declined', async () => {
  const folder = await testFolder();
  const model = await startModelServer({ script: demoScript });
  onTestFinished(model.close);
  const turn = await runTurn(folder, model.url, 'Say hello', 'decline');
  expect(turn.finalMessage).toBe('I left it: the command was not allowed.');
  await expect(readFile(join(folder, 'hello.txt'))).rejects.toThrow('ENOENT');
});

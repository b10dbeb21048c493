import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  assistantMessage,
  demoScript,
  RECALL_PROMPT,
  rememberPrompt,
  requestsFor,
  resumeScript,
  startModelServer,
  type ModelRequest,
  type ResponseItem,
} from '../../src/dev/model-server.js';
import { testFolder } from '../support/folders.js';
import { runTurn } from './app-server.js';

test('the demo asks once, writes hello.txt when allowed and reports it', async () => {
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

test('the demo reports that nothing was done when its command is declined', async () => {
  const folder = await testFolder();
  const model = await startModelServer({ script: demoScript });
  onTestFinished(model.close);
  const turn = await runTurn(folder, model.url, 'Say hello', 'decline');
  expect(turn.finalMessage).toBe('I left it: the command was not allowed.');
  await expect(readFile(join(folder, 'hello.txt'))).rejects.toThrow('ENOENT');
});

const said = (text: string): ResponseItem => ({
  type: 'message',
  role: 'user',
  content: [{ type: 'input_text', text }],
});
const output = (text: string): ResponseItem => ({
  type: 'function_call_output',
  output: `Process exited with code 0\nOutput:\n${text}\n`,
});

function answerTo(...input: ResponseItem[]): string {
  const request: ModelRequest = { n: 1, at: 0, headers: {}, body: { input } };
  return JSON.stringify(resumeScript(request));
}

test('the model of the resume demo knows a word only from its request', () => {
  const told = [said(rememberPrompt('heron-1')), output('heron-1'), assistantMessage('done')];
  expect(answerTo(said(rememberPrompt('heron-1')))).toContain("echo 'heron-1' > word.txt");
  expect(answerTo(...told.slice(0, 2))).toContain('I have written heron-1');
  expect(answerTo(...told, said(RECALL_PROMPT))).toContain('cat word.txt');
  const remembers = answerTo(...told, said(RECALL_PROMPT), output('heron-1'));
  expect(remembers).toContain('You told me to remember heron-1. word.txt holds: heron-1"');
  const other = answerTo(...told, said(RECALL_PROMPT), output('something else'));
  expect(other).toContain('heron-1. word.txt holds: something else"');
  const stranger = answerTo(said(RECALL_PROMPT), output('heron-1'));
  expect(stranger).toContain('Nobody told me a word: this is the first I hear.');
});

import { expect, onTestFinished, test } from 'vitest';
import {
  applyPatch,
  assistantMessage,
  commandCall,
  controlledMessage,
  cut,
  fail,
  functionCall,
  hold,
  lastUserText,
  modelProvider,
  outputsOfTurn,
  requestsFor,
  startModelServer,
  usage,
  withHeaders,
  type ModelScript,
} from '../../src/dev/model-server.js';

const userMessage = (text: string) => ({
  type: 'message',
  role: 'user',
  content: [{ type: 'input_text', text }],
});

async function serve(script: ModelScript) {
  const server = await startModelServer({ script });
  onTestFinished(server.close);
  const ask = (...input: object[]) =>
    fetch(`${server.url}/responses`, { method: 'POST', body: JSON.stringify({ model: 'm', input }) });
  return { server, ask };
}

interface Event {
  type: string;
  delta?: string;
  item?: { type: string; content: { text: string }[] };
  response?: { usage: object };
}

const eventsOf = (stream: string): Event[] =>
  stream
    .split('\n\n')
    .filter((frame) => frame !== '')
    .map((frame) => JSON.parse(/^data: (.*)$/m.exec(frame)?.[1] ?? '') as Event);

test('a message is streamed word by word and ends with its usage', async () => {
  const { ask } = await serve(() => [usage({ input: 7, output: 3 }), assistantMessage('Hello there')]);
  const response = await ask(userMessage('Hi'));
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const events = eventsOf(await response.text());
  expect(events.map(({ type }) => type)).toEqual([
    'response.created',
    'response.output_item.added',
    'response.output_text.delta',
    'response.output_text.delta',
    'response.output_item.done',
    'response.completed',
  ]);
  expect(events[4]?.item?.content).toEqual([{ type: 'output_text', text: 'Hello there' }]);
  expect(events[5]?.response?.usage).toMatchObject({ input_tokens: 7, output_tokens: 3, total_tokens: 10 });
});

test('calls have the shapes that codex acts on', () => {
  expect(commandCall('ls', { escalated: true, justification: 'why' })).toMatchObject({
    type: 'function_call',
    name: 'exec_command',
    arguments: '{"cmd":"ls","sandbox_permissions":"require_escalated","justification":"why"}',
  });
  expect(applyPatch('*** Begin Patch')).toMatchObject({ type: 'custom_tool_call', name: 'apply_patch' });
  expect(functionCall('add', { a: 1 }, { namespace: 'mcp__sums' })).toMatchObject({
    name: 'add',
    arguments: '{"a":1}',
    namespace: 'mcp__sums',
  });
});

test('the script decides by the conversation, and requests are counted per message', async () => {
  const { server, ask } = await serve((request) =>
    outputsOfTurn(request).length === 0 ? [commandCall('ls')] : [assistantMessage('done')],
  );
  const output = { type: 'function_call_output', call_id: 'c', output: 'files' };
  await (await ask(userMessage('one'))).text();
  await (await ask(userMessage('one'), output)).text();
  await (await ask(userMessage('one'), output, userMessage('two'))).text();
  expect(
    server.requests.map((request) => [request.n, lastUserText(request), outputsOfTurn(request)]),
  ).toEqual([
    [1, 'one', []],
    [2, 'one', ['files']],
    [3, 'two', []],
  ]);
  expect(requestsFor(server.requests, 'one')).toHaveLength(2);
});

test('a failure has the script’s status, headers and body', async () => {
  const { ask } = await serve(() => [
    fail(429, { headers: { 'retry-after': '2' }, body: { error: { type: 'x' } } }),
  ]);
  const response = await ask();
  expect(response.status).toBe(429);
  expect(response.headers.get('retry-after')).toBe('2');
  expect(await response.json()).toEqual({ error: { type: 'x' } });
});

test('a successful answer can have headers of its own', async () => {
  const { ask } = await serve(() => [withHeaders({ 'x-codex-primary-used-percent': '100' })]);
  const response = await ask();
  await response.text();
  expect(response.headers.get('x-codex-primary-used-percent')).toBe('100');
});

test('a stream is held open until the promise settles', async () => {
  let release = () => {};
  const { ask } = await serve(() => [
    hold(new Promise<void>((resolve) => (release = resolve))),
    assistantMessage('x'),
  ]);
  const reader = (await ask()).body!.pipeThrough(new TextDecoderStream()).getReader();
  expect((await reader.read()).value).toContain('response.created');
  release();
  expect((await reader.read()).value).toContain('response.output_item.added');
  await reader.cancel();
});

test('deltas are sent when the test pushes them', async () => {
  const { message, push, end } = controlledMessage();
  const { ask } = await serve(() => [message]);
  const reader = (await ask()).body!.pipeThrough(new TextDecoderStream()).getReader();
  const readUntil = async (text: string) => {
    for (let seen = ''; !seen.includes(text);) seen += (await reader.read()).value ?? '';
  };
  await readUntil('response.output_item.added');
  push('one');
  await readUntil('"delta":"one"');
  push('two');
  await readUntil('"delta":"two"');
  end();
  await readUntil('"text":"onetwo"');
});

test('a stream can be cut off', async () => {
  const { ask } = await serve(() => [cut()]);
  await expect(ask().then((response) => response.text())).rejects.toThrow();
});

test('closing cuts off every open stream', async () => {
  const { server, ask } = await serve(() => [hold(new Promise(() => undefined))]);
  const response = await ask();
  await server.close();
  await expect(response.text()).rejects.toThrow();
});

test('other paths are 404 and not recorded', async () => {
  const { server } = await serve(() => []);
  expect((await fetch(`${server.url}/models`)).status).toBe(404);
  expect(server.requests).toEqual([]);
});

test('a script that throws is answered with status 500 and its message', async () => {
  const { ask } = await serve(() => {
    throw new Error('no idea');
  });
  const response = await ask();
  expect([response.status, await response.text()]).toEqual([500, '{"error":{"message":"Error: no idea"}}']);
});

test('the provider fragment names the server', () => {
  expect(modelProvider('http://127.0.0.1:1/v1')).toEqual({
    model_provider: 'scripted',
    model_providers: {
      scripted: { name: 'scripted', base_url: 'http://127.0.0.1:1/v1', wire_api: 'responses' },
    },
  });
});

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { Rpc } from '../../../src/codex/rpc.js';
import {
  assistantMessage,
  commandCall,
  cut,
  hold,
  lastUserText,
  streamedMessage,
  type ModelRequest,
} from '../../../src/dev/model-server.js';
import type { SessionEvent } from '../../fakes/memory-journal.js';
import { runningCommand } from '../../support/running-command.js';
import { until } from '../../support/until.js';
import { startRealSession, type RealSession } from '../real-session.js';
import { answers, calls } from '../scripts.js';

const echo = (request: ModelRequest) => [assistantMessage(`heard ${lastUserText(request)}`)];

interface Item {
  id: string;
  type: string;
  text?: string;
  clientId?: string;
  status?: string;
}
const itemOf = ({ params }: SessionEvent) => params?.['item'] as Item;
const items = ({ events }: RealSession, method: string, type: string) =>
  events.filter((event) => event.method === method && itemOf(event).type === type).map(itemOf);
const statusOf = ({ params }: SessionEvent) => (params?.['turn'] as { status: string }).status;
const send = ({ thread }: RealSession, messageId: string, more: object = {}) =>
  thread.accept({ messageId, text: `text of ${messageId}`, ...more });

test('two messages become two turns, in order, once each', async () => {
  const session = await startRealSession(echo);
  await Promise.all([send(session, 'a'), send(session, 'b'), send(session, 'a')]);
  await session.turns(2);
  expect(await send(session, 'b')).toBe(false);
  const said = [...items(session, 'item/completed', 'userMessage')].map(({ clientId }) => clientId);
  expect(said).toEqual(['a', 'b']);
  expect(session.model.requests.map(lastUserText)).toEqual(['text of a', 'text of b']);
  expect(session.thread.totals.finalMessage).toBe('heard text of b');
  const { turns, usage, activity } = session.thread.report();
  expect({ turns, total: usage.totalTokens, activity }).toEqual({ turns: 2, total: 30, activity: 'idle' });
});

test('a steering message goes before the waiting ones', async () => {
  let release = () => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  const session = await startRealSession(answers([hold(released), assistantMessage('first')], echo, echo));
  await send(session, 'a');
  await until('a request to the model', () => session.model.requests.length === 1);
  await send(session, 'later');
  await send(session, 'b', { steer: true });
  await session.saw('turn/started');
  release();
  await until('the last answer', () => session.thread.totals.finalMessage === 'heard text of later');
  // Whether codex still took it into the turn or refused it as too late: it is there once, before the other.
  const said = items(session, 'item/completed', 'userMessage').map(({ clientId }) => clientId);
  expect(said).toEqual(['a', 'b', 'later']);
});

test('a steering message joins the running turn', async () => {
  let release = () => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  const session = await startRealSession(answers([hold(released), commandCall('true')], echo));
  await send(session, 'a');
  await session.saw('turn/started');
  const rpc = vi.spyOn(Rpc.prototype, 'call');
  onTestFinished(() => rpc.mockRestore());
  await send(session, 'b', { steer: true });
  const sent = await until(
    'the steer',
    () => rpc.mock.calls.findIndex(([name]) => name === 'turn/steer') + 1 || null,
  );
  await rpc.mock.results[sent - 1]!.value;
  release();
  await session.turns(1);
  const turnOf = (clientId: string) =>
    session.events.find((event) => event.method === 'item/completed' && itemOf(event).clientId === clientId)
      ?.params?.['turnId'];
  expect(turnOf('a')).toBeDefined();
  expect(turnOf('b')).toBe(turnOf('a'));
  expect(session.thread.totals.finalMessage).toBe('heard text of b');
});

test('an interrupt ends the running command, and the next message starts after that', async () => {
  const session = await startRealSession(answers([commandCall('sleep 611.25; echo late > late')], echo));
  await send(session, 'a');
  await until('the command', () => runningCommand('sleep 611.25'));
  await session.saw('item/started', (event) => itemOf(event).type === 'commandExecution');
  await send(session, 'b');
  await session.thread.interrupt();
  const [first, second] = await session.turns(2);
  expect([statusOf(first!), statusOf(second!)]).toEqual(['interrupted', 'completed']);
  const [command] = items(session, 'item/completed', 'commandExecution');
  const { id } = command!;
  const end = session.events.findIndex(
    (event) => event.method === 'item/completed' && itemOf(event).id === id,
  );
  expect(end).toBeLessThan(session.events.indexOf(first!));
  expect(session.events.some(({ type }) => type === 'x-optio-late')).toBe(false);
  await until('the end of the command', async () => !(await runningCommand('sleep 611.25')));
  await expect(readFile(join(session.folder.work, 'late'))).rejects.toThrow('ENOENT');
});

test('an interrupt between sending and the answer is not lost', async () => {
  const session = await startRealSession(answers([hold(new Promise(() => {}))]));
  await send(session, 'a');
  await session.thread.interrupt();
  const [turn] = await session.turns(1);
  expect(statusOf(turn!)).toBe('interrupted');
});

test('a message whose stream broke off ends before its turn', async () => {
  const session = await startRealSession(
    answers(
      [streamedMessage(['Half', ' a message']), assistantMessage('x'), cut()],
      [assistantMessage('whole')],
    ),
  );
  await send(session, 'a');
  const [turn] = await session.turns(1);
  const started = items(session, 'item/started', 'agentMessage').map(({ id }) => id);
  const ended = items(session, 'item/completed', 'agentMessage').map(({ id }) => id);
  expect([...ended].sort()).toEqual([...started].sort());
  expect(session.events.findLastIndex(({ method }) => method?.startsWith('item/'))).toBeLessThan(
    session.events.indexOf(turn!),
  );
  expect(session.thread.totals.finalMessage).toBe('whole');
});

test('a turn over its limit is interrupted: a conversation continues, a task fails', async () => {
  const session = await startRealSession(answers([hold(new Promise(() => {}))], echo), {
    limits: { turnMs: 6_000 },
  });
  await send(session, 'a');
  const [turn] = await session.turns(1);
  expect(statusOf(turn!)).toBe('interrupted');
  expect(await session.saw('x-optio-turn-timed-out')).toMatchObject({ afterMs: 6_000 });
  await send(session, 'b');
  await session.turns(2);
  expect(session.thread.totals.finalMessage).toBe('heard text of b');

  const task = await startRealSession(answers([hold(new Promise(() => {}))]), {
    mode: 'task',
    prompt: 'go',
    limits: { turnMs: 2_000 },
  });
  expect(await task.thread.turns.whenEnded()).toMatchObject({ kind: 'failed', code: 'TurnTimedOut' });
});

test('the time limit of a turn pauses while a request is open', async () => {
  const session = await startRealSession(
    calls(commandCall('true', { escalated: true, justification: 'x' })),
    {
      limits: { turnMs: 5_000 },
    },
  );
  await send(session, 'a');
  const { requestId } = await session.asked();
  const openedAt = Date.now();
  await until('more than the limit', () => Date.now() - openedAt > 5_500);
  await session.thread.permissions.decide({ requestId, behavior: 'allow' });
  const [turn] = await session.turns(1);
  expect(statusOf(turn!)).toBe('completed');
});

test('a model of another family is reported before the turn that compacts for it', async () => {
  const session = await startRealSession(echo, { effort: 'low' });
  const { thread } = session;
  await send(session, 'a');
  await session.turns(1);
  await thread.setControl({ id: 'model', value: 'gpt-6.1-sol' });
  await thread.setControl({ id: 'reasoning_effort', value: 'high' });
  await send(session, 'b');
  await session.turns(2);
  const bodies = session.model.requests.map(({ body }) => [
    body.model,
    (body['reasoning'] as { effort: string }).effort,
  ]);
  expect(bodies.at(0)).toEqual(['gpt-5.5', 'low']);
  expect(bodies.at(-1)).toEqual(['gpt-6.1-sol', 'high']);
  expect(thread.report().model).toBe('gpt-6.1-sol');
  const family = await session.saw('x-optio-model-family');
  expect(family).toMatchObject({ from: 'gpt-5.5', to: 'gpt-6.1-sol', compacts: true });
  const compaction = session.events.findIndex(
    (event) => event.method === 'item/started' && itemOf(event).type === 'contextCompaction',
  );
  expect(session.events.indexOf(family)).toBeLessThan(compaction);
  await thread.setControl({ id: 'model', value: 'gpt-5.6-sol' });
  await send(session, 'c');
  await session.turns(3);
  expect(session.events.filter(({ type }) => type === 'x-optio-model-family')).toHaveLength(1);
});

test('a model that another client of the app-server chose becomes the task’s model', async () => {
  const session = await startRealSession(echo);
  const other = await session.connect();
  const threadId = session.thread.report().threadId!;
  await send(session, 'a');
  await session.turns(1);
  await other.call('thread/resume', { threadId, excludeTurns: true }, { timeoutMs: 10_000 });
  const input = [{ type: 'text' as const, text: 'from the other' }];
  await other.call('turn/start', { threadId, input, model: 'gpt-5.6-sol' }, { timeoutMs: 10_000 });
  await session.turns(2);
  expect(session.thread.report()).toMatchObject({ model: 'gpt-5.6-sol', turns: 2, activity: 'idle' });
  expect(await session.saw('x-optio-control-update')).toMatchObject({
    controls: [{ id: 'model', value: 'gpt-5.6-sol' }, { id: 'reasoning_effort' }],
  });
});

test.each([
  ['accept', 'allow'],
  ['decline', 'deny'],
])('a request that another client answers with %s is reported as %s', async (decision, behavior) => {
  const session = await startRealSession(
    answers([commandCall('echo new > file', { escalated: true, justification: 'x' })]),
  );
  const other = await session.connect();
  await send(session, 'a');
  const { requestId } = await session.asked();
  const threadId = session.thread.report().threadId!;
  await other.call('thread/resume', { threadId, excludeTurns: true }, { timeoutMs: 10_000 });
  other.respond(0, { decision });
  await session.turns(1);
  expect(session.answered()).toMatchObject([
    { type: 'x-optio-permission-answered', request_id: requestId, behavior, decidedBy: 'elsewhere' },
  ]);
  expect(session.signals).toContainEqual({
    name: 'permissionSettled',
    argument: { requestId, reason: 'elsewhere' },
  });
});

test('an image below work reaches the model, and a missing one is bad input', async () => {
  const session = await startRealSession(echo);
  await writeFile(join(session.folder.work, 'dot.png'), Buffer.from(PNG, 'base64'));
  await send(session, 'a', { images: [{ path: 'dot.png' }] });
  await session.turns(1);
  expect(JSON.stringify(session.model.requests[0]?.body.input)).toContain('data:image/png;base64');
  await expect(send(session, 'b', { images: [{ path: 'none.png' }] })).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringContaining('images[0].path') as string,
  });
});

const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

test('a close during a turn interrupts it and ends the session', async () => {
  const session = await startRealSession(answers([hold(new Promise(() => {}))]));
  await send(session, 'a');
  await session.saw('turn/started');
  session.thread.turns.close();
  expect(await session.thread.turns.whenEnded()).toEqual({ kind: 'closed' });
  await expect(send(session, 'b')).rejects.toMatchObject({ code: 'SessionNotHere' });
  expect(session.thread.queue.ids).toEqual([]);
});

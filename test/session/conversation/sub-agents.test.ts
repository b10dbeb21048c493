import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { PermissionRule } from '../../../src/contract/index.js';
import { assistantMessage, functionCall, outputsOfTurn } from '../../../src/dev/model-server.js';
import type { ModelRequest } from '../../../src/dev/model-server.js';
import { scriptedCodex, type ScriptedCodex } from '../../fakes/codex-calls.js';
import { until } from '../../support/until.js';
import { findSubAgents } from '../../../src/session/conversation/find-sub-agents.js';
import type { SessionEvent } from '../../fakes/memory-journal.js';
import { startRealSession } from '../real-session.js';

const COMMAND = 'item/commandExecution/requestApproval';
const CHANGE = 'item/fileChange/requestApproval';
const CHILD = 'child';

async function running(options: Parameters<typeof scriptedCodex>[0] = {}) {
  const codex = await scriptedCodex(options);
  codex.thread.turns.begin();
  await codex.thread.accept({ messageId: 'a', text: 'a' });
  await codex.begin('t1');
  return codex;
}

const childAsks = (codex: ScriptedCodex, id: number, method = COMMAND, more: object = {}) =>
  codex.thread.permissions.ask(id, method, {
    threadId: CHILD,
    turnId: 'ct',
    itemId: 'ci',
    command: 'ls',
    ...more,
  });
const childTurn = (codex: ScriptedCodex, event: 'started' | 'completed', status = 'completed') =>
  codex.notify(`turn/${event}`, { threadId: CHILD, turn: { id: 'ct', status, items: [], error: null } });
const typesOf = ({ events }: ScriptedCodex) => events.map(({ method, type }) => method ?? type);
const answeredOf = ({ events }: ScriptedCodex) =>
  events.filter(({ type }) => type === 'x-optio-permission-answered');

describe('a request of a sub-agent', () => {
  test('is closed for everybody when Codex closes it', async () => {
    const codex = await running();
    childTurn(codex, 'started');
    childAsks(codex, 5);
    void codex.thread.interrupt();
    await codex.called('turn/interrupt');
    codex.notify('serverRequest/resolved', { threadId: CHILD, requestId: 5 });
    expect(codex.thread.permissions.size).toBe(0);
    expect(codex.settled).toEqual([{ requestId: '1-5', reason: 'interrupt' }]);
    expect(answeredOf(codex)).toHaveLength(1);
  });

  test('ends before the end of the turn that asked is sent', async () => {
    const codex = await running();
    childTurn(codex, 'started');
    childAsks(codex, 5);
    childTurn(codex, 'completed', 'interrupted');
    expect(codex.settled).toMatchObject([{ requestId: '1-5' }]);
    expect(typesOf(codex).slice(-2)).toEqual(['x-optio-permission-answered', 'turn/completed']);
  });

  test('pauses the time limit of each turn, even one that begins meanwhile', async () => {
    const codex = await running({ turnMs: 300 });
    childTurn(codex, 'started');
    childAsks(codex, 5);
    codex.complete('t1');
    await codex.thread.accept({ messageId: 'b', text: 'b' });
    await codex.begin('t2', 2);
    await codex.thread.permissions.decide({ requestId: '1-5', behavior: 'deny' });
    // From here on it runs.
    await until('the time limit', () => typesOf(codex).includes('x-optio-turn-timed-out'));
    const answered = typesOf(codex).indexOf('x-optio-permission-answered');
    expect(typesOf(codex).indexOf('x-optio-turn-timed-out')).toBeGreaterThan(answered);
  });

  test('is decided by rules, and shown with the files that it changes', async () => {
    const rules: PermissionRule[] = [
      { kind: 'fileChange', path: '/secret', then: 'deny' },
      { kind: 'fileChange', path: '/open', then: 'allow' },
    ];
    const codex = await running({ rules });
    const item = (path: string) => ({
      type: 'fileChange',
      id: `i${path}`,
      status: 'inProgress',
      changes: [{ path, kind: { type: 'add' }, diff: 'x' }],
    });
    for (const [id, path] of ['/secret/x', '/open/x', '/other'].entries()) {
      codex.notify('item/started', { threadId: CHILD, turnId: 'ct', item: item(path) });
      childAsks(codex, id, CHANGE, { itemId: `i${path}` });
    }
    await until('two answers', () => codex.answers.size === 2);
    expect([...codex.answers]).toEqual([
      [0, { decision: 'decline' }],
      [1, { decision: 'accept' }],
    ]);
    expect(codex.requested).toMatchObject([
      { summary: 'Change /other', input: { changes: [{ path: '/other' }] } },
    ]);
  });
});

describe('a working sub-agent', () => {
  test('keeps its task running until it has ended', async () => {
    const codex = await running({ mode: 'task' });
    childTurn(codex, 'started');
    codex.complete('t1');
    expect(codex.thread.turns.hasEnded).toBe(false);
    expect(codex.thread.report().activity).toBe('running');
    childTurn(codex, 'completed');
    expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'completed' });
  });

  test('counts from when it is given work, even while Codex reports it as idle', async () => {
    const codex = await running({ mode: 'task' });
    const activity = {
      type: 'subAgentActivity',
      id: 's',
      agentThreadId: CHILD,
      agentPath: '/c',
      kind: 'started',
    };
    codex.item('completed', 't1', activity);
    codex.notify('thread/status/changed', { threadId: CHILD, status: { type: 'idle' } });
    codex.complete('t1');
    expect(codex.thread.turns.hasEnded).toBe(false);
    childTurn(codex, 'started');
    childTurn(codex, 'completed');
    expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'completed' });
  });

  test('counts in usage, even after another worker adopts the task', async () => {
    const codex = await running({ recalled: recalledWith({ earlier: 100 }) });
    const usage = (threadId: string | undefined, totalTokens: number) =>
      codex.notify('thread/tokenUsage/updated', {
        ...(threadId && { threadId }),
        turnId: 't',
        tokenUsage: { total: { totalTokens, inputTokens: 1 } },
      });
    usage(undefined, 10);
    usage(CHILD, 5);
    usage(CHILD, 7);
    expect(codex.thread.report().usage).toMatchObject({ totalTokens: 117, inputTokens: 2 });
  });

  test('is interrupted with its task, even without a turn of that', async () => {
    const codex = await running();
    childTurn(codex, 'started');
    void codex.thread.interrupt();
    const ofChild = { params: { threadId: CHILD, turnId: 'ct' } };
    expect(await codex.called('turn/interrupt', 1)).toMatchObject(ofChild);
    expect((await codex.called('turn/interrupt', 2)).params['threadId']).not.toBe(CHILD);
    childTurn(codex, 'completed', 'interrupted');
    codex.complete('t1', 'interrupted');
    childTurn(codex, 'started');
    void codex.thread.interrupt();
    expect(await codex.called('turn/interrupt', 3)).toMatchObject(ofChild);
  });

  test('is interrupted again when Codex did not answer the first time', async () => {
    const codex = await running();
    childTurn(codex, 'started');
    codex.complete('t1');
    const interrupt = async (nth: number) => {
      const done = codex.thread.interrupt();
      (await codex.called('turn/interrupt', nth)).reject(new Error('turn/interrupt timed out'));
      (await codex.called('thread/backgroundTerminals/clean', nth)).resolve({});
      await done;
    };
    await interrupt(1);
    await interrupt(2);
    const asked = codex.calls.filter(({ method }) => method === 'turn/interrupt');
    expect(asked.map(({ params }) => params['threadId'])).toEqual([CHILD, CHILD]);
  });

  test('is ended at the time limit of turns, and the task times out', async () => {
    const codex = await running({ mode: 'task', turnMs: 100 });
    childTurn(codex, 'started');
    codex.complete('t1');
    await codex.called('turn/interrupt');
    expect(typesOf(codex)).toContain('x-optio-turn-timed-out');
    expect(codex.reports.some(({ warning }) => warning?.includes(CHILD))).toBe(true);
    childTurn(codex, 'completed', 'interrupted');
    expect(await codex.thread.turns.whenEnded()).toMatchObject({ kind: 'failed', code: 'TurnTimedOut' });
  });

  test('is ended by a close', async () => {
    const codex = await running();
    childTurn(codex, 'started');
    codex.complete('t1');
    codex.thread.turns.close();
    expect(await codex.called('turn/interrupt')).toMatchObject({ params: { threadId: CHILD } });
    expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'closed' });
  });
});

test('an interrupt between two turns reaches the turn that was about to begin', async () => {
  let release = () => {};
  const between = new Promise<void>((done) => (release = done));
  const codex = await running({ betweenTurns: () => between });
  codex.complete('t1');
  await codex.thread.accept({ messageId: 'b', text: 'b' });
  await codex.thread.interrupt();
  release();
  await codex.begin('t2', 2);
  expect(await codex.called('turn/interrupt')).toMatchObject({ params: { turnId: 't2' } });
});

test('a client’s message with an id like the host’s does not hide a denial’s reason', async () => {
  const codex = await running();
  await codex.thread.accept({ messageId: 'deny-1-7', text: 'a client’s own' });
  codex.ask(7, COMMAND, { command: 'ls' });
  void codex.thread.permissions.decide({ requestId: '1-7', behavior: 'deny', message: 'WHY NOT' });
  expect((await codex.called('turn/steer')).params['input']).toMatchObject([{ text: 'WHY NOT' }]);
});

test('a real sub-agent is waited for, and its work counts for the task', async () => {
  const session = await startRealSession(
    (request: ModelRequest) => {
      const said = JSON.stringify(request.body.input);
      if (!said.includes('"recipient":"/root/child1"')) {
        if (outputsOfTurn(request).length > 0) return [assistantMessage('delegated')];
        const job = { task_name: 'child1', message: 'CHILDJOB please' };
        return [functionCall('spawn_agent', job, { namespace: 'collaboration' })];
      }
      if (said.includes('KIDDONE')) return [assistantMessage('child finished')];
      const job = { cmd: 'sleep 1; echo child > child.txt; echo KIDD""ONE', yield_time_ms: 10_000 };
      return [functionCall('exec_command', job)];
    },
    { mode: 'task' },
    { features: { multi_agent_v2: true } },
  );
  await session.thread.accept({ messageId: 'm1', text: 'go' });
  const { threadId } = session.thread.report();
  const began = ({ params }: SessionEvent) => params?.['threadId'] !== threadId;
  const { params } = await session.saw('turn/started', began);
  const found: string[] = [];
  await findSubAgents(await session.connect(), threadId ?? '', {
    began: (id) => void found.push(id),
  });
  expect(found).toEqual([params?.['threadId']]);
  expect(await session.thread.turns.whenEnded()).toEqual({ kind: 'completed' });
  const ended = () => session.events.filter(({ method }) => method === 'turn/completed').length;
  // Readers have the last events a moment later.
  await until('the ends of both turns', () => ended() === 2);
  expect(session.thread.totals.finalMessage).toBe('delegated');
  expect(existsSync(join(session.folder.work, 'child.txt'))).toBe(true);
});

function recalledWith(tokens: Record<string, number>) {
  const usage = (totalTokens: number) => ({
    totalTokens,
    inputTokens: 0,
    cachedInputTokens: 0,
    cacheWriteInputTokens: 0,
    outputTokens: 0,
    reasoningOutputTokens: 0,
  });
  return {
    turns: 0,
    usage: usage(0),
    otherUsage: Object.fromEntries(Object.entries(tokens).map(([id, total]) => [id, usage(total)])),
    finalMessage: null,
    lastTurn: null,
    rateLimits: [],
    requests: new Map(),
    messages: new Map(),
  };
}

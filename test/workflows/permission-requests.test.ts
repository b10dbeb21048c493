import { expect, test } from 'vitest';
import type { PermissionDecision, PermissionRequest } from '../../src/contract/index.js';
import { parseTaskInput } from '../../src/input/parse-task-input.js';
import { PermissionRequests } from '../../src/workflows/permission-requests.js';

const QUESTION = { questions: [{ id: 'q1', question: 'Which?' }] };
const FORM = { mode: 'form', requestedSchema: { required: ['approved'] } };
const TOOL = { ...FORM, _meta: { codex_approval_kind: 'mcp_tool_call' } };
const PERMISSIONS = { permissions: { network: { enabled: true }, fileSystem: { write: ['/a'] } } };

function permissions(onTimeout: 'allow' | 'deny' = 'deny') {
  const { approvals } = parseTaskInput({ approvals: { timeoutMs: 1_000, onTimeout } }, 't');
  const decisions: PermissionDecision[] = [];
  const refused: string[] = [];
  const opened = new PermissionRequests(
    approvals,
    (decision) => void decisions.push(decision),
    (why) => void refused.push(why),
  );
  const ask = (kind: PermissionRequest['kind'], input: Record<string, unknown>) =>
    opened.request({ requestId: 'r', kind, input, summary: '', openedAt: '2026-01-01T00:00:00.000Z' }, 0);
  return { permissions: opened, decisions, refused, ask };
}

const allow = (updatedInput?: Record<string, unknown>): PermissionDecision => ({
  requestId: 'r',
  behavior: 'allow',
  ...(updatedInput && { updatedInput }),
});

test.each<[PermissionRequest['kind'], Record<string, unknown>, Record<string, unknown>, string]>([
  ['userInput', QUESTION, { answers: { q1: { answers: ['a'] } } }, 'q1'],
  ['elicitation', FORM, { content: { approved: true } }, 'approved'],
])(
  'keeps %s open after an allow without an answer, and names what is missing',
  (kind, input, answer, field) => {
    const { permissions: opened, decisions, refused, ask } = permissions();
    ask(kind, input);
    for (const given of [undefined, {}]) expect(opened.decide(allow(given))).toBe(false);
    expect(opened.fault(allow())).toContain(field);
    expect(refused[0]).toContain(field);
    expect([...opened.open.keys()]).toEqual(['r']);
    expect(opened.decide(allow(answer))).toBe(true);
    expect(decisions).toHaveLength(1);
  },
);

test.each<[PermissionRequest['kind'], Record<string, unknown>]>([
  ['userInput', QUESTION],
  ['elicitation', FORM],
  ['elicitation', { mode: 'url' }],
])('never allows %s by timeout', (kind, input) => {
  const { permissions: opened, decisions, ask } = permissions('allow');
  ask(kind, input);
  expect(opened.expire(1e15)).toBeNull();
  expect(opened.open.get('r')?.expiresAt).toBeUndefined();
  expect(decisions).toEqual([]);
  expect(opened.needsPerson(opened.open.get('r')!)).toBe(true);
});

test('denies a question at its timeout, and allows what needs no input', () => {
  const denied = permissions('deny');
  denied.ask('userInput', QUESTION);
  denied.permissions.expire(1e15);
  expect(denied.decisions).toMatchObject([{ behavior: 'deny', decidedBy: 'timeout' }]);
  for (const [kind, input] of [
    ['command', {}],
    ['elicitation', TOOL],
  ] as const) {
    const allowed = permissions('allow');
    allowed.ask(kind, input);
    allowed.permissions.expire(1e15);
    expect(allowed.decisions).toMatchObject([{ behavior: 'allow' }]);
  }
});

test.each<[Record<string, unknown> | undefined, boolean]>([
  [undefined, true],
  [{}, true],
  [{ permissions: {} }, true],
  [{ permissions: { network: { enabled: true } } }, true],
  [{ permissions: { fileSystem: { read: ['/a'] } } }, true],
  [{ permissions: { fileSystem: { write: ['/'] } } }, false],
  [{ permissions: { network: { enabled: true }, gpu: true } }, false],
])('takes a grant of %j: %s', (updatedInput, expected) => {
  const { permissions: opened, ask } = permissions();
  ask('permissions', PERMISSIONS);
  expect(opened.decide(allow(updatedInput))).toBe(expected);
});

test('reports a decision dropped before its request, whatever became of that', () => {
  const { permissions: opened, decisions, refused } = permissions();
  for (const requestId of ['a', 'a', 'b', 'c']) opened.decideSoon({ requestId, behavior: 'allow' }, 0);
  opened.settle({ requestId: 'a', reason: 'turn-ended' });
  opened.record('b');
  opened.dropEarly(60_000);
  expect(decisions).toEqual([]);
  expect(refused).toEqual([
    expect.stringMatching(/^Decision on a ignored: an earlier one waits/),
    expect.stringMatching(/^Decision on a ignored: the request is settled/),
    expect.stringMatching(/^Decision on b ignored: a rule decided/),
    expect.stringMatching(/^Decision dropped, .*"c"$/),
  ]);
});

test('closes a decided request, and does not reopen it when its host repeats it', () => {
  const { permissions: opened, decisions, ask } = permissions();
  ask('command', {});
  expect(opened.decide(allow())).toBe(true);
  expect(opened.decide(allow())).toBe(false);
  ask('command', {});
  expect(opened.open.size).toBe(0);
  expect(opened.decide(allow())).toBe(false);
  expect(decisions).toHaveLength(1);
});

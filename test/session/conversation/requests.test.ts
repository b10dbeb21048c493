import { describe, expect, test } from 'vitest';
import { answerFor, describeRequest } from '../../../src/codex/requests.js';
import { boundedInput } from '../../../src/session/conversation/bounded-input.js';

const item = { threadId: 't', turnId: 'u', itemId: 'i' };

test.each([
  [
    'item/commandExecution/requestApproval',
    { ...item, command: 'ls' },
    'command',
    'Run perhaps outside the sandbox, free to read and write what the worker’s user may: ls',
  ],
  [
    'item/commandExecution/requestApproval',
    { ...item, command: 'ls', reason: 'to look' },
    'command',
    'Run outside the sandbox, free to read and write what the worker’s user may: ls (to look)',
  ],
  ['item/fileChange/requestApproval', item, 'fileChange', 'Change a, b'],
  [
    'item/permissions/requestApproval',
    { ...item, permissions: {}, reason: 'r' },
    'permissions',
    'Grant more permissions (r)',
  ],
  [
    'item/tool/requestUserInput',
    { ...item, questions: [{ question: 'Which?' }] },
    'userInput',
    'Answer: Which?',
  ],
  [
    'mcpServer/elicitation/request',
    { threadId: 't', serverName: 's', mode: 'form', message: 'm' },
    'elicitation',
    's: m',
  ],
])('%s is described', (method, params, kind, summary) => {
  expect(describeRequest(method, params, [{ path: 'a' }, { path: 'b' }])).toMatchObject({ kind, summary });
});

test.each([
  ['on-request', undefined, 'Run outside'],
  ['on-request', '', 'Run outside'],
  ['untrusted', undefined, 'Run perhaps outside'],
  ['untrusted', '', 'Run outside'],
] as const)('a command is described, under %s and with the reason %j, as %s', (policy, reason, where) => {
  const params = { ...item, command: 'ls', ...(reason !== undefined && { reason }) };
  const described = describeRequest('item/commandExecution/requestApproval', params, undefined, policy);
  expect(described?.summary).toBe(
    `${where} the sandbox, free to read and write what the worker’s user may: ls`,
  );
});

test.each([
  ['item/tool/call', item],
  ['account/chatgptAuthTokens/refresh', { reason: 'unauthorized' }],
  ['item/commandExecution/requestApproval', { command: 'ls' }],
  ['item/tool/requestUserInput', { ...item, questions: 'x' }],
  ['mcpServer/elicitation/request', null],
])('nobody can decide %s %j', (method, params) => {
  expect(describeRequest(method, params)).toBeNull();
});

test('a summary is one bounded, well-formed line', () => {
  const described = describeRequest('item/commandExecution/requestApproval', {
    ...item,
    command: `a\n${'\u{1f600}'.repeat(400)}`,
  });
  expect(described?.summary.length).toBeLessThanOrEqual(300);
  expect(described?.summary).not.toMatch(/\n|\p{Surrogate}/u);
});

test('a summary shows newlines and drops characters that hide or reorder text', () => {
  const command = "/bin/bash -lc 'git status #\nrm -rf x \u202e\x1b[2K'";
  const described = describeRequest('item/commandExecution/requestApproval', { ...item, command });
  expect(described?.summary).toContain("'git status # ⏎ rm -rf x \\u202e\\u001b[2K'");
});

test('a summary of a file change names where files go and the folder it would open', () => {
  const changes = [{ path: '/w/a', kind: { type: 'update', move_path: '/etc/b' }, diff: '' }];
  const ask = { ...item, grantRoot: '/etc' };
  expect(describeRequest('item/fileChange/requestApproval', ask, changes)?.summary).toBe(
    'Change whatever is below /etc, at first /w/a → /etc/b',
  );
});

describe('an answer', () => {
  const asked = { permissions: { network: null, fileSystem: { write: ['/x'] } } };
  const persist = { _meta: { persist: ['session', 'always'] } };
  test.each([
    ['command', {}, { behavior: 'allow', updatedInput: { command: 'rm' } }, { decision: 'accept' }],
    ['command', {}, { behavior: 'allow', scope: 'session' }, { decision: 'acceptForSession' }],
    ['fileChange', {}, { behavior: 'deny' }, { decision: 'decline' }],
    [
      'permissions',
      asked,
      { behavior: 'allow' },
      { permissions: { fileSystem: { write: ['/x'] } }, scope: 'turn' },
    ],
    ['permissions', asked, { behavior: 'allow', updatedInput: {} }, { permissions: {}, scope: 'turn' }],
    [
      'permissions',
      asked,
      { behavior: 'allow', updatedInput: { permissions: {} } },
      { permissions: {}, scope: 'turn' },
    ],
    ['stdin', {}, { behavior: 'allow' }, { decision: 'accept' }],
    [
      'permissions',
      asked,
      {
        behavior: 'allow',
        scope: 'session',
        updatedInput: { permissions: { fileSystem: { read: ['/y'] } } },
      },
      { permissions: { fileSystem: { read: ['/y'] } }, scope: 'session' },
    ],
    ['permissions', asked, { behavior: 'deny' }, { permissions: {}, scope: 'turn' }],
    [
      'userInput',
      {},
      { behavior: 'allow', updatedInput: { answers: { q: { answers: ['a'] } } } },
      { answers: { q: { answers: ['a'] } } },
    ],
    [
      'userInput',
      {},
      { behavior: 'allow', updatedInput: { q: 'a', r: ['b'] } },
      { answers: { q: { answers: ['a'] }, r: { answers: ['b'] } } },
    ],
    ['userInput', {}, { behavior: 'deny', updatedInput: { q: 'a' } }, { answers: {} }],
    [
      'elicitation',
      {},
      { behavior: 'allow', updatedInput: { content: { c: 1 } } },
      { action: 'accept', content: { c: 1 }, _meta: null },
    ],
    ['userInput', { questions: [{ id: 'q' }] }, { behavior: 'allow' }, { answers: {} }],
    [
      'elicitation',
      { mode: 'form', requestedSchema: { required: ['a'] } },
      { behavior: 'allow' },
      { action: 'decline', content: null, _meta: null },
    ],
    ['elicitation', { mode: 'url' }, { behavior: 'allow' }, { action: 'accept', content: null, _meta: null }],
    [
      'elicitation',
      persist,
      { behavior: 'allow', scope: 'session' },
      { action: 'accept', content: {}, _meta: { persist: 'session' } },
    ],
    [
      'elicitation',
      {},
      { behavior: 'allow', scope: 'session' },
      { action: 'accept', content: {}, _meta: null },
    ],
    ['elicitation', {}, { behavior: 'deny' }, { action: 'decline', content: null, _meta: null }],
  ] as const)('is translated for %s %j %j', (kind, input, decision, expected) => {
    expect(answerFor(kind, input, decision)).toEqual(expected);
  });
});

test('an input too large for workflow state is cut and marked', () => {
  const small = { command: 'ls' };
  expect(boundedInput(small)).toEqual({ input: small });
  for (const large of [
    { command: 'x'.repeat(100_000) },
    { changes: Array.from({ length: 9_000 }, () => ({ diff: '\u{1f600}'.repeat(99) })) },
  ]) {
    const { input, truncated } = boundedInput(large);
    expect(truncated).toBe(true);
    expect(Buffer.byteLength(JSON.stringify(input))).toBeLessThan(49_152);
  }
});

import { expect, it } from 'vitest';
import { BUDGETS } from '../../src/budgets/budgets.js';
import { NO_USAGE, type PermissionRequest } from '../../src/contract/index.js';
import { parseTaskInput } from '../../src/input/parse-task-input.js';
import { CARRIED_BUDGETS } from '../../src/workflows/carried-fields.js';
import { boundCarried, CARRIED_INPUT } from '../../src/workflows/make-room.js';
import { noPermissions, PermissionRequests } from '../../src/workflows/permission-requests.js';
import { withWarnings } from '../../src/workflows/status-budget.js';
import type { CarriedTask } from '../../src/workflows/task-state.js';
import { noHookRequests, PendingHookRequests } from '../../src/workflows/pending-hook-requests.js';

const encoded = (value: unknown) => Buffer.byteLength(JSON.stringify(value));
const CHARS = Object.entries({ ascii: 'x', cjk: '漢', emoji: '😀', control: '\u0001', quote: '"' });

it('gives each carried field a budget, and all together fit with the input', () => {
  const sum = Object.entries(CARRIED_BUDGETS).reduce(
    (all, [name, bytes]) => all + name.length + 4 + bytes,
    2,
  );
  expect(sum + CARRIED_INPUT).toBeLessThanOrEqual(BUDGETS.carried);
  expect(BUDGETS.carried).toBeLessThan(1024 * 1024);
});

/** A task of which everything is as large as the doors let it become, but for what goes into the database. */
function largest(char: string): CarriedTask {
  const name = char.repeat(256 / char.length);
  const upTo = (bytes: number) => char.repeat(Math.floor(bytes / (encoded(char) - 2)));
  const spec = parseTaskInput(
    {
      snapshot: { exclude: [upTo(BUDGETS.settings - 8)] },
      captureSeed: { pool: name, metadata: { a: upTo(BUDGETS.settings - 16) } },
      hooks: Object.fromEntries(
        ['beforeExecute', 'afterExecute', 'onDeliverable', 'onCallerMessage', 'onUpload'].map((hook) => [
          hook,
          { taskQueue: name, activityType: name },
        ]),
      ),
      ui: { a: upTo(BUDGETS.ui - 16) },
    },
    't',
  );
  const permissionsState = noPermissions();
  const permissions = new PermissionRequests(
    spec.approvals,
    () => undefined,
    () => undefined,
    permissionsState,
  );
  const request = (i: number): PermissionRequest => ({
    requestId: `${i}${name.slice(4)}`,
    kind: 'command',
    summary: upTo(4_000),
    input: { command: upTo(48_000) },
    openedAt: new Date(0).toISOString(),
  });
  for (let i = 0; i < 2_000; i++) permissions.settle({ requestId: `s${i}${name}`, reason: 'x' });
  for (let i = 0; i < 60; i++) permissions.request(request(i), 0);
  const hookRequestsState = noHookRequests();
  const hookRequests = new PendingHookRequests(hookRequestsState);
  for (let i = 0; i < 600; i++)
    hookRequests.take({
      id: `${i}-${name.slice(8)}`,
      kind: 'deliverable',
      deliverable: {
        path: `${i}/${name}`,
        bytes: 1,
        sha256: 'a'.repeat(64),
        contentType: 'text/plain',
        blobId: '0'.repeat(24),
      },
    });
  for (
    let hookRequest = hookRequests.next('deliverable');
    hookRequest;
    hookRequest = hookRequests.next('deliverable')
  )
    void hookRequest;
  const status: CarriedTask['status'] = {
    state: 'running',
    taskId: 't',
    threadId: 't',
    host: 'h',
    listener: { url: 'http://x' },
    model: name,
    seedId: name,
    quarantineId: null,
    pending: [],
    turns: 1,
    usage: NO_USAGE,
    controls: [],
    decidedByRule: { allow: 0, deny: 0 },
    warnings: withWarnings(
      [],
      Array.from({ length: 30 }, (_, i) => `${i}${upTo(10_000)}`),
    ),
    ui: spec.ui!,
    lastError: upTo(BUDGETS.lastError - 8),
    progress: { percent: 1, text: upTo(BUDGETS.progress - 64) },
  };
  return {
    status,
    spec: { ...spec, ui: null },
    permissions: permissionsState,
    hookRequests: hookRequestsState,
    result: { finalMessage: upTo(BUDGETS.finalMessage), output: { a: upTo(BUDGETS.output - 16) } },
    previousHost: { from: 'h', generation: 1, lastEventId: 1, requests: [upTo(BUDGETS.movedRequests - 8)] },
    outbox: { waiting: [], closeSent: false, seen: [upTo(BUDGETS.rememberedIds - 8)] },
  } as unknown as CarriedTask;
}

it.each(CHARS)('fits the largest carried state: %s', (_, char) => {
  const carried = largest(char);
  const bounded = boundCarried(carried);
  expect(encoded(bounded) + CARRIED_INPUT).toBeLessThanOrEqual(BUDGETS.carried);
  for (const [name, value] of Object.entries(bounded)) {
    const most =
      name === 'permissions' || name === 'result' ? Infinity : CARRIED_BUDGETS[name as keyof CarriedTask];
    expect([name, encoded(value) <= most]).toEqual([name, true]);
  }
  expect(bounded.permissions.open).toHaveLength(carried.permissions.open.length);
  expect(bounded.status).toEqual(carried.status);
});

it('carries a small state unchanged', () => {
  const carried = { ...largest('x'), result: { finalMessage: 'done' } };
  carried.permissions = { ...carried.permissions, open: [] };
  expect(boundCarried(carried)).toEqual(carried);
});

it.each([
  ['beside a shorter message', 40_000, { output: { a: 'y'.repeat(40_000) } }],
  ['not, where it is too large by itself', 200_000, { outputOmitted: true }],
])('an output is carried %s, where little room is left', (_, characters, kept) => {
  const carried = largest('x');
  carried.result = { ...carried.result, output: { a: 'y'.repeat(characters) } };
  carried.outbox.seen.push('x'.repeat(400_000));
  const { output, outputOmitted, finalMessage, finalMessageTruncated } = boundCarried(carried).result;
  const omitted = outputOmitted && { outputOmitted };
  expect({ ...(output !== undefined && { output }), ...omitted }).toEqual(kept);
  expect([finalMessageTruncated, finalMessage!.length > 20_000]).toEqual([true, true]);
});

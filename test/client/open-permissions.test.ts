import { expect, it } from 'vitest';
import { openPermissions, type PermissionSource } from '../../src/client/open-permissions.js';
import type { PermissionDecision, PermissionRequest, TaskStatus } from '../../src/contract/index.js';
import { TaskError, type ErrorCode } from '../../src/errors.js';

const request = (requestId: string): PermissionRequest => ({
  requestId,
  kind: 'command',
  summary: `Run ${requestId}`,
  input: {},
  openedAt: '2026-01-01T00:00:00.000Z',
});

/** A task that shows, look by look, these requests or what it fails with; after the last it has ended. */
function taskOf(...looks: (string[] | ErrorCode)[]) {
  const decided: PermissionDecision[] = [];
  let look = 0;
  let refusal: TaskError | null = null;
  const source: PermissionSource = {
    async status() {
      const now = looks[Math.min(look, looks.length - 1)]!;
      if (typeof now === 'string') throw new TaskError(now, 'as told');
      return { pending: now.map(request) } as TaskStatus;
    },
    async hasEnded() {
      return ++look >= looks.length;
    },
    async decide(decision) {
      decided.push(decision);
      if (refusal) throw refusal;
    },
  };
  const refuse = (code: ErrorCode) => void (refusal = new TaskError(code, 'as told'));
  return { source, decided, refuse };
}

const follow = (source: PermissionSource, signal?: AbortSignal) =>
  openPermissions(source, { pollMs: 1, ...(signal && { signal }) });

const idsOf = async (source: PermissionSource) => {
  const ids: string[] = [];
  for await (const { requestId } of follow(source)) ids.push(requestId);
  return ids;
};

it('yields each request once, in order, until the task ends', async () => {
  const { source } = taskOf(['a'], ['a', 'b'], [], ['b', 'c']);
  expect(await idsOf(source)).toEqual(['a', 'b', 'c']);
});

it('continues while no worker can tell which requests are open', async () => {
  const { source } = taskOf('Unavailable', ['a'], 'Unavailable', ['a', 'b']);
  expect(await idsOf(source)).toEqual(['a', 'b']);
});

it('fails when the task does not exist', async () => {
  await expect(idsOf(taskOf('NotFound').source)).rejects.toMatchObject({ code: 'NotFound' });
});

it('answers with the id of the request and reports that the answer counts', async () => {
  const { source, decided } = taskOf(['a', 'b']);
  const counted: boolean[] = [];
  for await (const each of follow(source))
    counted.push(
      await (each.requestId === 'a'
        ? each.allow({ scope: 'session' })
        : each.deny('not this', { decidedBy: 'anna' })),
    );
  expect(counted).toEqual([true, true]);
  expect(decided).toEqual([
    { requestId: 'a', behavior: 'allow', scope: 'session' },
    { requestId: 'b', behavior: 'deny', message: 'not this', decidedBy: 'anna' },
  ]);
});

/** What an answer comes to that the task refuses with this code, while it shows these requests. */
async function refused(code: ErrorCode, then: string[] | ErrorCode) {
  const { source, refuse } = taskOf(['a'], then);
  refuse(code);
  for await (const each of follow(source)) {
    await source.hasEnded();
    return each.allow();
  }
  throw new Error('no request came');
}

it.each<[string, ErrorCode, string[] | ErrorCode]>([
  ['another decided meanwhile', 'BadInput', []],
  ['ended with its task', 'NotFound', []],
])('reports that an answer does not count for a request that %s', async (_, code, then) => {
  expect(await refused(code, then)).toBe(false);
});

it.each<[string, ErrorCode, string[] | ErrorCode, ErrorCode]>([
  ['its decision lacks something', 'BadInput', ['a'], 'BadInput'],
  ['nobody can say whether it still waits', 'BadInput', 'Unavailable', 'Unavailable'],
  ['nobody takes it', 'Unavailable', ['a'], 'Unavailable'],
])('fails when %s', async (_, code, then, wanted) => {
  await expect(refused(code, then)).rejects.toMatchObject({ code: wanted });
});

it('ends when it is aborted', async () => {
  const { source } = taskOf(['a'], ['a', 'b'], ['c']);
  const stop = new AbortController();
  for await (const each of follow(source, stop.signal)) {
    expect(each.requestId).toBe('a');
    stop.abort();
  }
});

it('rejects an invalid pause', async () => {
  const pollMs = 0;
  await expect(openPermissions(taskOf([]).source, { pollMs }).next()).rejects.toThrow(
    'pollMs: expected more than 0 milliseconds, got 0',
  );
});

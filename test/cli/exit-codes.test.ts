import { describe, expect, it } from 'vitest';
import { onlyRequest } from '../../src/cli/decide.js';
import { runHere } from './run-here.js';
import { exitCodeOf, Interrupted } from '../../src/cli/exit-codes.js';
import { TaskError, type ErrorCode } from '../../src/errors.js';
import type { PermissionRequest } from '../../src/contract/index.js';

describe('exit codes', () => {
  it.each<[ErrorCode, number]>([
    ['CodexFailed', 1],
    ['Cancelled', 1],
    ['BadInput', 2],
    ['NotFound', 3],
    ['SessionNotHere', 3],
    ['SnapshotUnreadable', 3],
    ['Unavailable', 4],
  ])('maps %s to exit code %i', (code, exit) => expect(exitCodeOf(new TaskError(code, ''))).toBe(exit));

  it('tells an interruption from a fault', () => {
    expect(exitCodeOf(new Interrupted('SIGINT'))).toBe(130);
    expect(exitCodeOf(new Error('x'))).toBe(1);
  });
});

describe('a request that is not named', () => {
  const request = (requestId: string): PermissionRequest => ({
    requestId,
    kind: 'command',
    summary: `Run ${requestId}`,
    input: {},
    openedAt: '2026-01-01T00:00:00Z',
  });

  it('is the only open request', () => {
    expect(onlyRequest('t', [request('a')]).requestId).toBe('a');
    expect(() => onlyRequest('t', [])).toThrow('task t has no open request');
    expect(() => onlyRequest('t', [request('a'), request('b')])).toThrow(
      'task t has 2 open requests, name one:\n  a  Run a\n  b  Run b',
    );
  });
});

it.each(['show', 'purge', 'follow', 'interrupt', 'close', 'approve', 'deny', 'send'])(
  '%s refuses an impossible id before it sends a request',
  async (command) => {
    for (const id of ['operator', 'a\tb', '']) {
      const { code, stdout, stderr } = await runHere([command, id, ...(command === 'send' ? ['x'] : [])]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(/^codex-task: taskId: expected text of 1 to 1000 bytes .*\n$/);
    }
  },
);

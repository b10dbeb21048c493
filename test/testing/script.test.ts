import { describe, expect, it } from 'vitest';
import { TaskError } from '../../src/errors.js';
import { scriptedCodex, startScriptedWorker, type ScriptedPlace } from '../../src/testing/index.js';
import type { AskedRequest } from '../../src/testing/index.js';

const faultOf = (make: () => unknown): string => {
  try {
    make();
  } catch (error) {
    expect(error).toBeInstanceOf(TaskError);
    expect(error).toMatchObject({ code: 'BadInput' });
    return (error as TaskError).message;
  }
  return 'none';
};

/** As a caller without types may write it. */
const untyped = <T>(value: unknown) => value as T;
const codex = scriptedCodex();

describe('a script', () => {
  it.each<[string, () => unknown]>([
    ['message: expected 1 to 1048576 characters, got ""', () => codex.message('')],
    ['ends: expected 1 to 1048576 characters, got 7', () => codex.ends(untyped(7))],
    ['kind: expected "command" or "fileChange" or', () => codex.asks(untyped({ kind: 'shell' }))],
    ['asks: expected an object, got "rm"', () => codex.asks(untyped('rm'))],
    ['command: expected a non-empty string, got nothing', () => codex.asks(untyped({ kind: 'command' }))],
    [
      'comand: unknown key',
      () => codex.asks(untyped<AskedRequest>({ kind: 'command', command: 'a', comand: 'b' })),
    ],
    ['changes: expected at least one', () => codex.asks({ kind: 'fileChange', changes: [] })],
    [
      'changes[0].path: expected a non-empty string, got ""',
      () => codex.asks({ kind: 'fileChange', changes: [{ path: '' }] }),
    ],
    ['questions: expected at least one', () => codex.asks({ kind: 'userInput', questions: [] })],
    ['parks: expected a positive integer up to 315360000000, got -1', () => codex.parks(-1)],
    [
      'fails: expected NoCredential, BadInput, SnapshotUnreadable, CodexFailed, LeaseLost or CredentialDead, got "HostLost"',
      () => codex.fails(untyped('HostLost'), 'x'),
    ],
    [
      'fails: expected no step before NoCredential, which comes before codex runs, got 1',
      () => codex.message('a').fails('NoCredential', 'x'),
    ],
    [
      'onAllow: expected a text, or a function that goes on, got 1',
      () => codex.asks({ kind: 'command', command: 'a' }).onAllow(untyped(1)),
    ],
    [
      'onDeny: expected a function that gives the script it went on with, got nothing',
      () => codex.asks({ kind: 'command', command: 'a' }).onDeny(untyped(() => undefined)),
    ],
  ])('is rejected with “%s”', (message, make) => {
    expect(faultOf(make)).toContain(message);
  });

  it('is immutable: extending it leaves it unchanged', () => {
    const begun = codex.message('a');
    begun.message('b').ends();
    expect(begun.steps).toHaveLength(1);
    const asked = begun.asks({ kind: 'command', command: 'ls' });
    asked.onAllow('yes');
    expect(asked.steps.at(-1)).toMatchObject({ onAllow: [] });
  });

  it('is rejected before any worker starts when it is invalid', async () => {
    const steps = untyped<typeof codex>({ steps: [{ does: 'message', text: 'x' }] });
    const started = startScriptedWorker(untyped<ScriptedPlace>({}), steps);
    await expect(started).rejects.toMatchObject({
      code: 'BadInput',
      message: expect.stringContaining('script: expected what scriptedCodex() began') as string,
    });
  });
});

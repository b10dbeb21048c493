import { describe, expect, it } from 'vitest';
import { inputOf } from '../../src/cli/start-input.js';

describe('inputOf', () => {
  it('makes an input of the options', () => {
    expect(
      inputOf(
        {},
        {
          prompt: 'go',
          mode: 'conversation',
          model: 'm',
          effort: 'low',
          instructions: 'i',
          sandbox: 'read-only',
          network: true,
          grant: ['/a:ro', '/b:c:rw'],
          approvalPolicy: 'never',
          approvalTimeout: 5,
          pool: 'p',
          env: ['A=1', 'B=x=y'],
          passEnv: ['C'],
          resume: 'k',
          outputSchema: { type: 'object' },
        },
      ),
    ).toEqual({
      prompt: 'go',
      mode: 'conversation',
      model: 'm',
      effort: 'low',
      instructions: 'i',
      sandbox: {
        mode: 'read-only',
        network: true,
        grants: [
          { path: '/a', access: 'ro' },
          { path: '/b:c', access: 'rw' },
        ],
      },
      approvals: { policy: 'never', timeoutMs: 5 },
      credential: { pool: 'p' },
      env: { A: '1', B: 'x=y' },
      passEnv: ['C'],
      resume: { snapshotKey: 'k' },
      outputSchema: { type: 'object' },
    });
  });

  it('puts options over the file, and leaves the rest of it', () => {
    const file = { prompt: 'a', sandbox: { mode: 'read-only', grants: [] }, hooks: {}, env: { A: '1' } };
    expect(
      inputOf(file, { prompt: 'b', sandbox: 'workspace-write', env: ['B=2'], credential: false }),
    ).toEqual({
      prompt: 'b',
      sandbox: { mode: 'workspace-write', grants: [] },
      hooks: {},
      env: { A: '1', B: '2' },
      credential: { none: true },
    });
  });

  it('makes no input without options or a file', () => {
    expect(inputOf({}, { credential: true })).toEqual({});
  });

  it.each([
    [[], {}, 'input: expected a JSON object'],
    [{}, { pool: 'a', seed: 'b' }, 'Give one of --pool, --seed, --api-key-env and --no-credential'],
    [{}, { grant: ['/a'] }, '--grant: expected PATH:ro or PATH:rw, got "/a"'],
    [{}, { env: ['SECRET'] }, '--env: expected NAME=VALUE'],
  ])('refuses %j with %j', (file, flags, message) => {
    expect(() => inputOf(file, flags)).toThrow(message);
  });
});

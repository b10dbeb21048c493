import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectLocal, type TestTemporal } from '../support/temporal.js';
import { decideOn } from './run-task.js';
import { quietRuntime } from './stub-host.js';

// In real time: the time-skipping server skips none while a step runs.
let temporal: TestTemporal;

beforeAll(async () => {
  quietRuntime();
  temporal = await connectLocal();
});
afterAll(() => temporal.close());

const decideBy = decideOn(() => temporal.environment);

describe('a permission request with approvals.timeoutMs', () => {
  it.each(['deny', 'allow'] as const)(
    'is answered with %s when nobody decides in time',
    async (onTimeout) => {
      const { decisions } = await decideBy(
        ['0-0'],
        { approvals: { timeoutMs: 500, onTimeout } },
        async () => undefined,
      );
      expect(decisions).toEqual([{ requestId: '0-0', behavior: onTimeout, decidedBy: 'timeout' }]);
    },
  );
});

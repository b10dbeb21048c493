import { describe, expect, it } from 'vitest';
import { connectLocal } from '../support/temporal.js';
import { decideOn, useTemporal } from './run-task.js';

// In real time: the time-skipping server skips none while a step runs.
const temporal = useTemporal(connectLocal);

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

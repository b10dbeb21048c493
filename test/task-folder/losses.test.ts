import { describe, expect, it } from 'vitest';
import type { LedgerRecord } from '../../src/task-folder/ledger.js';
import { lossWithWorker, recallLosses } from '../../src/task-folder/losses.js';

const process: LedgerRecord = { t: 'process', incarnation: 1 };
const lost = (turns: number, alone: number, withWorker = 0): LedgerRecord => ({
  t: 'lost',
  turns,
  losses: { alone, withWorker },
});

describe('ends of codex in a row', () => {
  it('are counted on by the next worker until a turn has completed', () => {
    const past = [process, lost(2, 1), process, lost(2, 2), process];
    expect(recallLosses(past, 2)).toEqual({ alone: 2, withWorker: 0 });
    expect(recallLosses(past, 3)).toEqual({ alone: 0, withWorker: 0 });
    expect(recallLosses([process], 0)).toEqual({ alone: 0, withWorker: 0 });
  });

  it('together with the worker are counted of their own', () => {
    expect(lossWithWorker([process, lost(0, 2), process], 0)).toEqual({ alone: 2, withWorker: 1 });
    expect(lossWithWorker([process, lost(0, 2, 4), process], 1)).toEqual({ alone: 0, withWorker: 1 });
  });

  it('count once when the worker saw the end of codex and ended before it started it again', () => {
    expect(lossWithWorker([process, lost(0, 1)], 0)).toEqual({ alone: 0, withWorker: 1 });
    expect(lossWithWorker([process, lost(0, 0, 3)], 0)).toEqual({ alone: 0, withWorker: 4 });
  });

  it('are none when a worker stopped it', () => {
    expect(lossWithWorker([process, lost(0, 1), process, { t: 'stopped' }], 0)).toBeNull();
  });
});

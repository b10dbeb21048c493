import { describe, expect, it } from 'vitest';
import type { LedgerRecord } from '../../src/task-folder/ledger.js';
import { lossWithWorker, recallLosses } from '../../src/task-folder/losses.js';

const process: LedgerRecord = { t: 'process', incarnation: 1 };
const lost = (turns: number, alone: number, withWorker = 0): LedgerRecord => ({
  t: 'lost',
  turns,
  losses: { alone, withWorker },
});

describe('the count of consecutive crashes of Codex', () => {
  it('continues with the next worker until a turn completes', () => {
    const past = [process, lost(2, 1), process, lost(2, 2), process];
    expect(recallLosses(past, 2)).toEqual({ alone: 2, withWorker: 0 });
    expect(recallLosses(past, 3)).toEqual({ alone: 0, withWorker: 0 });
    expect(recallLosses([process], 0)).toEqual({ alone: 0, withWorker: 0 });
  });

  it('counts a crash together with the worker separately', () => {
    expect(lossWithWorker([process, lost(0, 2), process], 0)).toEqual({ alone: 2, withWorker: 1 });
    expect(lossWithWorker([process, lost(0, 2, 4), process], 1)).toEqual({ alone: 0, withWorker: 1 });
  });

  it('counts once when the worker saw the crash and ended before the restart', () => {
    expect(lossWithWorker([process, lost(0, 1)], 0)).toEqual({ alone: 0, withWorker: 1 });
    expect(lossWithWorker([process, lost(0, 0, 3)], 0)).toEqual({ alone: 0, withWorker: 4 });
  });

  it('counts no stop by a worker', () => {
    expect(lossWithWorker([process, lost(0, 1), process, { t: 'stopped' }], 0)).toBeNull();
  });
});

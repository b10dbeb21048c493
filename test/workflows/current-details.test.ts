import { expect, test } from 'vitest';
import type { TaskStatus } from '../../src/contract/index.js';
import { describe } from '../../src/workflows/current-details.js';
import { RUNNING } from './running-status.js';

const STATUS: TaskStatus = { ...RUNNING, listener: { url: 'http://x/tasks/t' } };
const request = { requestId: '1-0', kind: 'command', summary: 'Run ls', input: {}, openedAt: '' } as const;

test.each<[Partial<TaskStatus>, string]>([
  [{}, '**running** · host `h1` · model `m` · 2 turns, 0 tokens\n\nEvents: http://x/tasks/t/events'],
  [{ progress: { percent: 40, text: 'reading' } }, 'Progress: 40% reading'],
  [{ progress: { percent: null, text: 'reading' } }, 'Progress: reading'],
  [{ waitingFor: 'waiting for hook a on q' }, 'waiting for hook a on q'],
  [{ state: 'parked', parkedUntil: '2026-01-01T00:00:00Z' }, 'out of quota until 2026-01-01T00:00:00Z'],
  [{ pending: [request] }, '- waits for a decision on `1-0`: Run ls'],
  [{ lastError: 'it broke' }, 'Last error: it broke'],
  [{ warnings: ['mind this'] }, 'Warning: mind this'],
])('shows %j in the current details of a task', (more, told) => {
  expect(describe({ ...STATUS, ...more })).toContain(told);
});

test('shows first what the task was started for, where that is given', () => {
  expect(describe(STATUS, 'mend the tests')).toMatch(/^mend the tests\n\n\*\*running\*\*/);
});

import { ApplicationFailure } from '@temporalio/workflow';
import { expect, it } from 'vitest';
import { BUDGETS } from '../../src/budgets/budgets.js';
import { failure } from '../../src/workflows/failures.js';
import { carryEnding, endingFrom } from '../../src/workflows/ending.js';
import { CARRIED_BUDGETS } from '../../src/workflows/carried-fields.js';

const { text, faults } = BUDGETS.badOutput;
const details = { text: 'x'.repeat(text), truncated: true as const, faults: ['y'.repeat(faults)] };

it('a failure of a task keeps its details in the next run, as large as they may be', () => {
  const error = failure('BadOutput', 'z'.repeat(BUDGETS.lastError), { details });
  expect(error.details).toEqual([details]);
  const carried = carryEnding({ error });
  expect(JSON.stringify(carried).length).toBeLessThanOrEqual(CARRIED_BUDGETS.ending);
  const ending = endingFrom(JSON.parse(JSON.stringify(carried)) as typeof carried);
  const next = 'error' in ending ? ending.error : null;
  expect(next).toBeInstanceOf(ApplicationFailure);
  expect(next).toMatchObject({ type: 'BadOutput', nonRetryable: true, details: [details] });
});

it('details that are too large for a failure are left out of it', () => {
  const large = { ...details, text: 'x'.repeat(BUDGETS.failure) };
  expect(failure('BadOutput', 'm', { details: large }).details ?? []).toEqual([]);
  const error = ApplicationFailure.create({ type: 'CodexFailed', message: 'm', details: [large] });
  expect(carryEnding({ error })).toEqual({ type: 'CodexFailed', message: 'm' });
});

import { QueryNotRegisteredError } from '@temporalio/client';
import { expect, it } from 'vitest';
import { clientFailure, isAskedAgain } from '../../src/client/client-failure.js';
import { ASK_AGAIN, BEGINS_AGAIN } from '../../src/errors.js';

const queryFailure = (message: string) => clientFailure(new QueryNotRegisteredError(message, 3), 't1');

it.each([ASK_AGAIN, BEGINS_AGAIN])('repeats a query that met a worker at the wrong moment: %s', (message) => {
  const failure = queryFailure(`Workflow activation failed: ${message}`);
  expect(failure).toMatchObject({ code: 'Unavailable' });
  expect(isAskedAgain(failure)).toBe(true);
});

it('does not repeat a query to a workflow without it, since it is no task', () => {
  const failure = queryFailure('Workflow did not register a handler for state');
  expect(failure).toMatchObject({ code: 'NotFound' });
  expect(isAskedAgain(failure)).toBe(false);
});

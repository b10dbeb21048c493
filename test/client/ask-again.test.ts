import { QueryNotRegisteredError, type WorkflowQueryInput } from '@temporalio/client';
import { describe, expect, it } from 'vitest';
import { askAgain } from '../../src/client/index.js';
import { untilTaken } from '../../src/client/task-calls.js';
import { ASK_AGAIN, BEGINS_AGAIN } from '../../src/errors.js';

const INVALID_ARGUMENT = 3;
const input = { queryType: 'state', args: [] } as unknown as WorkflowQueryInput;

/** Asks a workflow that fails with these one after the other, and then answers. */
async function ask(...failures: Error[]) {
  let asked = 0;
  const next = async () => {
    asked++;
    const failure = failures.shift();
    if (failure) throw failure;
    return 'an answer';
  };
  const answer = await askAgain.query!(input, next).catch((error: unknown) => error);
  return { asked, answer };
}

describe('a client with askAgain', () => {
  it.each([ASK_AGAIN, BEGINS_AGAIN])('repeats a query that fails with "%s"', async (message) => {
    const refused = () => new QueryNotRegisteredError(`Error: ${message}`, INVALID_ARGUMENT);
    expect(await ask(refused(), refused())).toEqual({ asked: 3, answer: 'an answer' });
  });

  it('leaves it to a handle to repeat its own queries', async () => {
    const refused = new QueryNotRegisteredError(`Error: ${ASK_AGAIN}`, INVALID_ARGUMENT);
    expect(await untilTaken(() => ask(refused))).toEqual({ asked: 1, answer: refused });
  });

  it('passes other failures on at once', async () => {
    const unknown = new QueryNotRegisteredError('no such query', INVALID_ARGUMENT);
    expect(await ask(unknown)).toEqual({ asked: 1, answer: unknown });
  });
});

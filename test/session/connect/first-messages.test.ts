import { expect, test } from 'vitest';
import { firstMessages } from '../../../src/session/connect/first-messages.js';
import type { LedgerRecord } from '../../../src/task-folder/ledger.js';
import { range } from '../../support/range.js';

test.each(['prompt', 'kickoff', 'resumed'])(
  'the first message to the model is not repeated after very many messages (%s)',
  (messageId) => {
    const prompt = messageId === 'prompt' ? 'do it' : null;
    const spec = { prompt, instructions: 'i', hostProtocol: true };
    const later = range(1, 2_000).map((n) => ({ messageId: `m${n}`, text: 't' }));
    const past = [{ messageId, text: 't' }, ...later].map((message): LedgerRecord => ({
      t: 'message',
      message,
    }));
    for (const start of ['new', 'resumed', 'again'] as const)
      expect(firstMessages(spec, start, past)).toEqual([]);
  },
);

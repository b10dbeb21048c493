import type { TemporalLink } from './client/connect-temporal.js';

/** The search attributes of a task, all of type Keyword. */
export const SEARCH_ATTRIBUTES = [
  'CodexState',
  'CodexModel',
  'CodexSeed',
  'CodexHost',
  'CodexQuarantine',
] as const;

const KNOWN_FOR_MS = 60_000;
const ASK_TIMEOUT_MS = 5_000;

/**
 * Tells whether the namespace has all of them: upserting an unknown one hangs a workflow. A server that does
 * not say counts as one that has none.
 */
export function searchAttributesKnown({ connection, namespace }: TemporalLink): () => Promise<boolean> {
  let answer = { known: false, until: 0 };
  return async () => {
    if (performance.now() < answer.until) return answer.known;
    const known = await connection
      .withDeadline(Date.now() + ASK_TIMEOUT_MS, () =>
        connection.operatorService.listSearchAttributes({ namespace }),
      )
      .then(({ customAttributes }) => SEARCH_ATTRIBUTES.every((name) => name in customAttributes))
      .catch(() => false);
    answer = { known, until: performance.now() + KNOWN_FOR_MS };
    return known;
  };
}

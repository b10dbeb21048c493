import type { TemporalAccess } from '../client/connect-temporal.js';

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
 * Tells which of them the namespace has: upserting an unknown one hangs a workflow. A server that does not say counts
 * as one that has none.
 * @param onMissing called once with those that it lacks
 */
export function searchAttributesKnown(
  { connection, namespace }: TemporalAccess,
  onMissing: (names: string[]) => void,
): () => Promise<string[]> {
  let answer: { known: Promise<string[]>; until: number } | null = null;
  let isTold = false;
  const ask = async (): Promise<string[]> => {
    const { customAttributes } = await connection.withDeadline(Date.now() + ASK_TIMEOUT_MS, () =>
      connection.operatorService.listSearchAttributes({ namespace }),
    );
    const missing = SEARCH_ATTRIBUTES.filter((name) => !Object.hasOwn(customAttributes, name));
    if (missing.length > 0 && !isTold) onMissing(missing);
    isTold ||= missing.length > 0;
    return SEARCH_ATTRIBUTES.filter((name) => Object.hasOwn(customAttributes, name));
  };
  return () => {
    // One query for all concurrent callers.
    if (!answer || performance.now() >= answer.until)
      answer = { known: ask().catch(() => []), until: performance.now() + KNOWN_FOR_MS };
    return answer.known;
  };
}

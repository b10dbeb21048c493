import type { TokenUsage } from '../contract/status.js';
import type { Draft } from './draft.js';
import { numberOrNull, objectOf, type Fields } from './fields.js';

/** What a thread used so far; later totals of it take the place of earlier ones. */
export function setUsage(draft: Draft, threadId: string, params: Fields): void {
  const total = objectOf(objectOf(params['tokenUsage'])['total']);
  draft.usageOf.set(
    threadId,
    countsOf((kind) => numberOrNull(total[kind]) ?? 0),
  );
  draft.changed.usage = true;
}

/** What all threads used together. */
export function usageOf(draft: Draft): TokenUsage {
  const all = [...draft.usageOf.values()];
  return countsOf((kind) => all.reduce((sum, counts) => sum + counts[kind], 0));
}

const countsOf = (count: (kind: keyof TokenUsage) => number): TokenUsage => ({
  totalTokens: count('totalTokens'),
  inputTokens: count('inputTokens'),
  cachedInputTokens: count('cachedInputTokens'),
  cacheWriteInputTokens: count('cacheWriteInputTokens'),
  outputTokens: count('outputTokens'),
  reasoningOutputTokens: count('reasoningOutputTokens'),
});

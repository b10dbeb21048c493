/** Why the workflow does not take a decision; `ending`: the task takes none any more. */
export type DecisionRefusal = 'unknown' | 'settled' | 'ending' | { missing: string };

/** The text of a refused update: the part before the reason is the same for every client. */
export function refusalText(requestId: string, refusal: DecisionRefusal): string {
  const request = `Permission request ${requestId}`;
  if (typeof refusal === 'object') return `${request} stays open: ${refusal.missing}`;
  return refusal === 'ending' ? `${request} is settled: the task is ending` : `${request} is ${refusal}`;
}

/** What such a text says of this request; null: something else. */
export function readRefusal(requestId: string, text: string): DecisionRefusal | null {
  for (const refusal of ['unknown', 'settled', 'ending'] as const)
    if (text === refusalText(requestId, refusal)) return refusal;
  const open = refusalText(requestId, { missing: '' });
  return text.startsWith(open) ? { missing: text.slice(open.length) } : null;
}

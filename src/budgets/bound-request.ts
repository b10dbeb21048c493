import { BUDGETS, cutText, firstWithin, jsonBytes } from './budgets.js';
import type { PermissionRequest } from '../contract/index.js';

/** Shorter texts are not cut: what is left of them would say nothing. */
const SHORTEST = 16;

/** Of the line for people this much stays in any case. */
const SHORTEST_SUMMARY = 128;

/** A request's input with at most `maxBytes`: whole, or its longest texts and lists cut, or nothing of it. */
export function boundInput(
  input: Record<string, unknown>,
  maxBytes: number,
): Pick<PermissionRequest, 'input' | 'truncated'> {
  if (jsonBytes(input) <= maxBytes) return { input };
  for (let keep = Math.floor(maxBytes / 4); keep > SHORTEST; keep = Math.floor(keep / 4)) {
    const cut = cutTexts(input, keep) as Record<string, unknown>;
    if (jsonBytes(cut) <= maxBytes) return { input: cut, truncated: true };
  }
  return { input: {}, truncated: true };
}

function cutTexts(value: unknown, keep: number): unknown {
  if (typeof value === 'string') return cutText(value, keep);
  if (Array.isArray(value)) return value.slice(0, keep).map((each) => cutTexts(each, keep));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, cutTexts(each, keep)]));
}

/** A request as workflow state holds it, of which what people read of it has a limit too. */
export function boundRequest(request: PermissionRequest, inputBytes: number = BUDGETS.requestInput) {
  const summary = cutText(request.summary, Math.min(Math.max(inputBytes, SHORTEST_SUMMARY), BUDGETS.summary));
  return { ...request, summary, ...boundInput(request.input, inputBytes) };
}

/** Requests that have at most `maxBytes` together: cut as `shrinkRequests` does, and of too many the oldest. */
export function boundRequests(requests: readonly PermissionRequest[], maxBytes: number): PermissionRequest[] {
  return firstWithin(shrinkRequests(requests, maxBytes), maxBytes).kept;
}

/** Requests whose largest inputs are cut until all have at most `maxBytes` together, or nothing is left to be cut. */
export function shrinkRequests(
  requests: readonly PermissionRequest[],
  maxBytes: number,
): PermissionRequest[] {
  let bounded = [...requests];
  let sizes = bounded.map(jsonBytes);
  const isLarge = () => sizes.reduce((sum, size) => sum + size + 1, 1) > maxBytes;
  for (let most = BUDGETS.requestInput; isLarge() && most > 0; most = most > SHORTEST * 2 ? most >> 1 : 0) {
    bounded = bounded.map((each, i) => (sizes[i]! > most ? boundRequest(each, most) : each));
    sizes = bounded.map((each, i) => (each === requests[i] ? sizes[i]! : jsonBytes(each)));
  }
  return bounded;
}

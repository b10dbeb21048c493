import { toWellFormed } from '../../codex/well-formed.js';
import type { PermissionRequest } from '../../contract.js';

/** A request's input in workflow state stays below this; the event stream has it whole. */
const INPUT_BYTES = 48 * 1024;

/** The input as workflow state may hold it: whole, or its longest texts cut. */
export function boundedInput(input: Record<string, unknown>): Pick<PermissionRequest, 'input' | 'truncated'> {
  if (fits(input)) return { input };
  for (let keep = INPUT_BYTES / 4; keep > 16; keep = Math.floor(keep / 4)) {
    const cut = cutTexts(input, keep) as Record<string, unknown>;
    if (fits(cut)) return { input: cut, truncated: true };
  }
  return { input: {}, truncated: true };
}

const fits = (input: Record<string, unknown>) => Buffer.byteLength(JSON.stringify(input)) <= INPUT_BYTES;

function cutTexts(value: unknown, keep: number): unknown {
  if (typeof value === 'string')
    return value.length > keep ? `${toWellFormed(value.slice(0, keep))}…` : value;
  if (Array.isArray(value)) return value.slice(0, keep).map((each) => cutTexts(each, keep));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, cutTexts(each, keep)]));
}

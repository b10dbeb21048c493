import { BUDGETS, cutLines } from '../budgets/budgets.js';
import { TaskError } from '../errors.js';
import { wellFormed } from './clean-json.js';
import type { Fault } from './fault.js';

/** What the value may say about itself in an error: itself, its kind, or nothing. */
type Shown = 'value' | 'kind' | 'nothing';

const MAX_SHOWN = 80;
const MOST_LINES = 200;

/**
 * One `BadInput` for all faults: a line for each, of very many the first and a count. `root` names the whole value, for
 * faults that have no path.
 */
export function badInput(root: string, faults: readonly Fault[]): TaskError {
  const lines = faults.slice(0, MOST_LINES).map((fault) => lineOf(root, fault));
  if (faults.length > MOST_LINES) lines.push(`… and ${faults.length - MOST_LINES} more`);
  return new TaskError('BadInput', cutLines(lines.join('\n'), BUDGETS.failure));
}

/** `['sandbox', 'grants', 0, 'access']` → `sandbox.grants[0].access`. */
export function dotted(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    const name = String(key);
    const part = /^[A-Za-z_$][\w$-]*$/.test(name) ? name : JSON.stringify(cut(name));
    return text === '' ? part : `${text}.${part}`;
  }, '');
}

function lineOf(root: string, { path, expected, value, says }: Fault): string {
  const place = dotted(path) || root;
  if (says !== undefined) return `${place}: ${says}`;
  if (expected === null) return `${place}: unknown key`;
  return `${place}: expected ${expected}${got(value, shownAt(path))}`;
}

/** People put secrets where only their names belong, so strings of these fields are not repeated. */
function shownAt([top]: readonly PropertyKey[]): Shown {
  if (top === 'env') return 'nothing';
  return ['passEnv', 'credential', 'codexConfig', 'captureSeed', 'ui'].includes(String(top))
    ? 'kind'
    : 'value';
}

function got(value: unknown, shown: Shown): string {
  if (shown === 'nothing') return '';
  if (value === undefined) return ', got nothing';
  if (shown === 'value' || value === null || ['number', 'boolean'].includes(typeof value))
    return `, got ${cut(jsonOf(value))}`;
  if (typeof value === 'string') return `, got a string of ${value.length} characters`;
  return `, got ${Array.isArray(value) ? 'an array' : `an ${typeof value}`}`.replace('an f', 'a f');
}

function jsonOf(value: unknown): string {
  if (typeof value === 'number') return String(value);
  try {
    // A function or a symbol has no JSON.
    return JSON.stringify(typeof value === 'string' ? cut(value) : value) ?? `a ${typeof value}`;
  } catch {
    return `${typeof value === 'object' ? 'an object' : `a ${typeof value}`} that JSON cannot hold`;
  }
}

const cut = (text: string): string =>
  text.length > MAX_SHOWN ? `${wellFormed(text.slice(0, MAX_SHOWN))}…` : text;

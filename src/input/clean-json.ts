import type { Fault } from './faults.js';

/** Deeper values are refused: every walk over them would be at the mercy of its sender. */
const MAX_DEPTH = 64;

/**
 * A copy of a JSON value with lone surrogates replaced by U+FFFD (codex never answers a text that has one)
 * and without undefined members; what JSON cannot hold goes into `faults`.
 */
export function cleanJson(value: unknown, faults: Fault[], path: readonly PropertyKey[] = []): unknown {
  if (typeof value === 'string') return wellFormed(value);
  if (value === null || typeof value === 'boolean' || Number.isFinite(value)) return value;
  if (path.length > MAX_DEPTH) return fault(`at most ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) return value.map((item, index) => cleanJson(item, faults, [...path, index]));
  if (isObject(value)) return cleanMembers(value, faults, path);
  return fault('a JSON value');

  function fault(expected: string): null {
    faults.push({ path, expected, value });
    return null;
  }
}

/** Whether a value is an object with named members. */
export function isObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // An object of another realm (a workflow's sandbox) has another Object.prototype, but also nothing above it.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** The text with U+FFFD for every lone surrogate, as `String.prototype.toWellFormed` makes it. */
export const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, '\u{FFFD}');

function cleanMembers(object: object, faults: Fault[], path: readonly PropertyKey[]): object {
  const members = Object.entries(object)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]): [string, unknown] => {
      const name = wellFormed(key);
      // Assigned somewhere later, it would set a prototype.
      if (name === '__proto__') faults.push({ path: [...path, name], expected: null, value });
      return [name, cleanJson(value, faults, [...path, name])];
    });
  return Object.fromEntries(members);
}

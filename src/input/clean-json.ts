import { Unreadable } from '../codec/unreadable.js';
import type { Fault } from './fault.js';

/** Refuses deeper values: the cost of every walk over them would be up to the sender. */
const MAX_DEPTH = 64;

/**
 * A copy of a JSON value with lone surrogates replaced by U+FFFD (codex never answers a text that has one)
 * and without members that are undefined or null, which mean absent: dataclasses of Python and structs of Go
 * send null for what they were not given. What JSON cannot hold goes into `faults`.
 * @param asTheyAre dotted paths of values that are handed on with their nulls; `''` is the whole one
 */
export function cleanJson(value: unknown, faults: Fault[], asTheyAre: readonly string[] = []): unknown {
  return clean(value, faults, { path: [], keeps: asTheyAre.includes(''), asTheyAre });
}

interface Placement {
  readonly path: readonly PropertyKey[];
  /** Whether nulls stay here. */
  readonly keeps: boolean;
  readonly asTheyAre: readonly string[];
}

function clean(value: unknown, faults: Fault[], place: Placement): unknown {
  const { path } = place;
  if (typeof value === 'string') return wellFormed(value);
  if (value === null || typeof value === 'boolean' || Number.isFinite(value)) return value;
  if (path.length > MAX_DEPTH) return fault(`at most ${MAX_DEPTH} levels`);
  if (Array.isArray(value))
    return value.map((item, index) => clean(item, faults, { ...place, path: [...path, index] }));
  if (value instanceof Unreadable) return fault(null, value.why);
  if (isObject(value)) return cleanMembers(value, faults, place);
  return fault('a JSON value');

  function fault(expected: string | null, says?: string): null {
    faults.push({ path, expected, value, ...(says !== undefined && { says }) });
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
export const wellFormed = (text: string): string => text.replace(/[\uD800-\uDFFF]/gu, '\u{FFFD}');

function cleanMembers(object: object, faults: Fault[], place: Placement): object {
  const members = Object.entries(object)
    .filter(([, value]) => value !== undefined && (place.keeps || value !== null))
    .map(([key, value]): [string, unknown] => {
      const name = wellFormed(key);
      const path = [...place.path, name];
      // Assigned somewhere later, it would set a prototype.
      if (name === '__proto__') faults.push({ path, expected: null, value });
      const keeps = place.keeps || place.asTheyAre.includes(path.join('.'));
      return [name, clean(value, faults, { ...place, path, keeps })];
    });
  return Object.fromEntries(members);
}

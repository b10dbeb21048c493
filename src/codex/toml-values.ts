import { TomlDate, type TomlValue } from 'smol-toml';
import { TaskError } from '../errors.js';
import { toWellFormed } from './well-formed.js';

export type TomlTable = Record<string, TomlValue>;

export const isTable = (value: unknown): value is TomlTable =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  !(value instanceof Date) &&
  [null, Object.prototype].includes(Object.getPrototypeOf(value) as object | null);

/**
 * The value as TOML can hold it, with lone surrogates replaced.
 * @param path names the value in messages, as in `codexConfig.mcp_servers.files.args[2]`
 * @throws TaskError `BadInput` on null, undefined, functions, symbols, integers over 64 bits and class instances
 */
export function toTomlValue(value: unknown, path: string): TomlValue {
  if (typeof value === 'string') return toWellFormed(value);
  if (typeof value === 'boolean' || typeof value === 'number') return value;
  if (typeof value === 'bigint' && value === BigInt.asIntN(64, value)) return value;
  // A plain Date is a moment; TomlDate also holds TOML's local dates and times.
  if (value instanceof Date && !Number.isNaN(value.getTime())) return new TomlDate(value);
  // Array.from also visits holes, which are undefined.
  if (Array.isArray(value)) return Array.from(value, (part, index) => toTomlValue(part, `${path}[${index}]`));
  if (isTable(value))
    return Object.fromEntries(
      Object.entries(value).map(([key, part]) => [toWellFormed(key), toTomlValue(part, `${path}.${key}`)]),
    );
  throw new TaskError('BadInput', `${path}: expected a value that TOML can hold, got ${describe(value)}`);
}

/** Both, table by table; where both have a value the second's is taken. */
export function mergeTables(under: TomlTable, over: TomlTable): TomlTable {
  const merged = new Map(Object.entries(under));
  for (const [key, value] of Object.entries(over)) {
    const below = merged.get(key);
    merged.set(key, isTable(below) && isTable(value) ? mergeTables(below, value) : value);
  }
  return Object.fromEntries(merged);
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'bigint') return 'an integer over 64 bits';
  if (value instanceof Date) return 'an invalid date';
  return typeof value === 'object' ? `an instance of ${value.constructor.name}` : typeof value;
}

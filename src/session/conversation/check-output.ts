import { createContext, Script } from 'node:vm';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';
import { BUDGETS, linesWithin } from '../../budgets/budgets.js';
import type { OutputSchema } from '../../contract/index.js';
import { reasonOf } from '../../errors.js';

/** What an answer is, read by the schema that it was asked with. */
export type CheckedOutput =
  { readonly fits: true; readonly value: unknown } | { readonly fits: false; readonly faults: string[] };

/**
 * How long a check may take: a pattern that backtracks without end must not stop the worker. Tried again once, for the
 * first time may have gone to other processes. Milliseconds.
 */
const CHECK_MS = [500, 3_000];
const MOST_FAULTS = 20;

const CHECK = new Script('check()');
const checked: { check: () => void } = { check: () => undefined };
createContext(checked);

/** Reads the last message of a turn as JSON and compares it with a strict schema. Never throws. */
export function checkOutput(schema: OutputSchema, text: string | null): CheckedOutput {
  if (text === null) return misfit(['there is no message']);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return misfit([`it is ${reasonOf(error)}`]);
  }
  try {
    // The first schema of a worker has it load the compiler, which is not what may take too long.
    const fits = compiled(schema);
    const errors = within(CHECK_MS, () => (fits(value) ? null : (fits.errors ?? [])));
    return errors === null ? { fits: true, value } : misfit(errors.slice(0, MOST_FAULTS).map(faultOf));
  } catch (error) {
    return misfit([`it cannot be compared with the schema: ${reasonOf(error)}`]);
  }
}

const misfit = (faults: readonly string[]): CheckedOutput => ({
  fits: false,
  faults: linesWithin(faults, BUDGETS.badOutput.faults),
});

/** With a compiler of its own, which would keep every schema that it has seen. */
function compiled({ $schema: _, ...schema }: OutputSchema): ValidateFunction {
  const ajv = new Ajv({
    allErrors: true,
    strict: false,
    strictNumbers: true,
    meta: false,
    validateSchema: false,
  });
  addFormats.default(ajv);
  return ajv.compile(schema);
}

/** @throws what `act` throws; Error when it takes longer than the last of these times */
function within<T>([ms = 0, ...longer]: readonly number[], act: () => T): T {
  let outcome: { value: T } | null = null;
  checked.check = () => void (outcome = { value: act() });
  try {
    CHECK.runInContext(checked, { timeout: ms });
  } catch (error) {
    if (longer.length > 0 && isOutOfTime(error)) return within(longer, act);
    throw error;
  }
  if (outcome === null) throw new Error('there was no outcome');
  return (outcome as { value: T }).value;
}

const isOutOfTime = (error: unknown): boolean =>
  (error as { code?: unknown } | null)?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';

function faultOf({ instancePath, message = 'does not fit', params }: ErrorObject): string {
  const more = Object.values(params as Record<string, unknown>).filter(
    (each) => typeof each === 'string' && !message.includes(each),
  );
  const allowed = (params as { allowedValues?: unknown }).allowedValues;
  const values = Array.isArray(allowed) ? `: ${JSON.stringify(allowed)}` : '';
  return `${instancePath || '/'} ${message}${values}${more.length > 0 ? ` (${more.join(', ')})` : ''}`;
}

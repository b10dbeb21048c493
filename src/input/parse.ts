import type * as v from 'valibot';
import { outcomeOf } from './checks.js';
import { cleanJson } from './clean-json.js';
import { badInput } from './faults.js';
import type { Fault } from './fault.js';

/**
 * A JSON value of this schema, as a copy: null and undefined members are gone, so optional ones are there or absent.
 * @param root what the value is called in faults of the whole
 * @param asTheyAre dotted paths of values that keep their nulls; `''` is the whole one
 * @throws TaskError `BadInput` with one line per fault
 */
export function parse<T>(
  root: string,
  schema: v.GenericSchema,
  value: unknown,
  asTheyAre: readonly string[] = [],
): T {
  const unclean: Fault[] = [];
  const clean = cleanJson(value, unclean, asTheyAre);
  if (unclean.length > 0) throw badInput(root, unclean);
  const { faults, output } = outcomeOf(schema, clean);
  if (faults.length > 0) throw badInput(root, faults);
  return output as T;
}

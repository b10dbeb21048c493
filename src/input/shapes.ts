import * as v from 'valibot';
import * as is from './checks.js';

/**
 * Schemas for what our own parts hand each other. The other one's version may be newer: members that are not known
 * here are left out of what comes of a value, never a fault.
 */

/** A schema of which only the outcome is known: that is checked where it is used. */
export type Schema<T> = v.GenericSchema<unknown, T>;

/** Null, absent or of this schema; gives null for what is absent. */
export const nullable = (schema: v.GenericSchema) => v.nullish(schema, null);

/** Absent, null, or of this schema; what is null is left out. */
export const optional = (schema: v.GenericSchema) =>
  v.pipe(
    v.nullish(schema),
    v.transform((value: unknown) => value ?? undefined),
  );

/** An object with at least these members; gives one with these only. */
export const shape = <T extends object>(members: is.Members<T>): Schema<T> =>
  v.pipe(
    is.object,
    v.rawTransform(({ dataset, addIssue }): T => {
      const input = dataset.value;
      const known: [string, unknown][] = [];
      for (const [key, schema] of Object.entries<v.GenericSchema>(members)) {
        const { issues = [], output } = v.safeParse(schema, input[key]);
        for (const { message, input: value, path = [] } of issues)
          addIssue({ message, input: value, path: [...is.at(input, key), ...path] });
        if (output !== undefined) known.push([key, output]);
      }
      return Object.fromEntries(known) as T;
    }),
  );

/** An object whose member `by` names one of these schemas. */
export const variant = <T>(by: string, variants: Readonly<Record<string, Schema<T>>>): Schema<T> => {
  const expected = `an object with a ${by} of ${Object.keys(variants).join(', ')}`;
  const none = is.that<T>(expected, () => false);
  return v.lazy((value): Schema<T> => {
    const name = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[by] : null;
    return typeof name === 'string' && Object.hasOwn(variants, name) ? variants[name]! : none;
  });
};

/** As `Date.prototype.toISOString` writes it: what else `Date.parse` takes differs from engine to engine. */
export const isoTime = is.that<string>(
  'a time as 2026-01-31T23:59:59.999Z',
  (value) => typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/.test(value),
);

export const number = is.that<number>('a number', Number.isFinite);
export const total = is.that<number>(
  'a non-negative integer',
  (value) => Number.isSafeInteger(value) && (value as number) >= 0,
);

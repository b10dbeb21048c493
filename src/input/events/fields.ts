export type Fields = Readonly<Record<string, unknown>>;
/** Whether a value is what its type says. */
export type Check = (value: unknown) => boolean;

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const text: Check = (value) => typeof value === 'string';
export const number: Check = (value) => typeof value === 'number' && Number.isFinite(value);
export const truth: Check = (value) => typeof value === 'boolean';
export const anything: Check = () => true;
export const oneOf =
  (...words: readonly unknown[]): Check =>
  (value) =>
    words.includes(value);
export const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
/** Absent or as the check wants it. */
export const maybe =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
/** Absent, null or as the check wants it. */
export const maybeNull =
  (check: Check): Check =>
  (value) =>
    value === undefined || value === null || check(value);
export const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);

/** An object whose fields are as the checks want them; it may have others. */
export function shape(checks: Readonly<Record<string, Check>>): Check {
  const entries = Object.entries(checks);
  return (value) => {
    if (!isFields(value)) return false;
    for (const [name, check] of entries) if (!check(value[name])) return false;
    return true;
  };
}

/** One of several objects, told apart by a field. */
export function tagged(tag: string, shapes: Readonly<Record<string, Check>>): Check {
  const byTag = new Map(Object.entries(shapes));
  return (value) => {
    const name = isFields(value) ? value[tag] : undefined;
    return typeof name === 'string' && (byTag.get(name)?.(value) ?? false);
  };
}

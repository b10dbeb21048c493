/** Values that no field of an event ought to have, and some that look as if they might. */
const ODD: readonly unknown[] = [
  undefined,
  null,
  0,
  -1,
  '',
  'x',
  true,
  [],
  {},
  [null],
  { id: 1 },
  { type: 'new' },
];

/** A copy of a JSON object in which one field, at any depth, is something else or is gone. The same for a seed. */
export function mutated(value: object, random: () => number): Record<string, unknown> {
  const copy = structuredClone(value) as Record<string, unknown>;
  let at: Record<string, unknown> = copy;
  for (;;) {
    const keys = Object.keys(at);
    if (keys.length === 0) return copy;
    const key = keys[Math.floor(random() * keys.length)]!;
    const next = at[key];
    if (typeof next === 'object' && next !== null && random() < 0.8) {
      at = next as Record<string, unknown>;
      continue;
    }
    const odd = ODD[Math.floor(random() * ODD.length)];
    if (odd === undefined) delete at[key];
    else at[key] = odd;
    return copy;
  }
}

import { firstWithin } from '../budgets/budgets.js';

const BYTES = 1_024;

/** Joins names in one line; of very many it gives the first and a count, as a warning has little room. */
export function namesOf(names: readonly string[]): string {
  const { kept, more } = firstWithin(names, BYTES);
  const shown = kept.map((name) => JSON.stringify(name)).join(', ');
  if (more === 0) return shown;
  return kept.length === 0 ? `${more} with long names` : `${shown} and ${more} more`;
}

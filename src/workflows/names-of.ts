import { firstWithin } from '../budgets/budgets.js';

const BYTES = 1_024;

/** Names in one line, of very many the first and a count: a warning has room for so many. */
export function namesOf(names: readonly string[]): string {
  const { kept, more } = firstWithin(names, BYTES);
  const shown = kept.map((name) => JSON.stringify(name)).join(', ');
  if (more === 0) return shown;
  return kept.length === 0 ? `${more} with long names` : `${shown} and ${more} more`;
}

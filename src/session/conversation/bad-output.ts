import { BUDGETS, cutText, headOf, textBytes } from '../../budgets/budgets.js';
import type { BadOutputDetails } from '../../contract/index.js';

/** What a task fails with whose answer does not fit. */
export const badOutput = (faults: readonly string[]): string =>
  cutText(`The answer does not fit its outputSchema: ${faults.join('; ')}`, BUDGETS.lastError);

/** What the model is told then. */
export const correctionText = (faults: readonly string[]): string =>
  [
    'Your last message does not fit the JSON schema that was given for it:',
    ...faults.map((fault) => `- ${fault}`),
    'Say it again as one JSON value that fits the schema, and nothing else.',
  ].join('\n');

/** What goes with the failure. */
export function detailsOf(text: string | null, faults: string[]): BadOutputDetails {
  const most = BUDGETS.badOutput.text;
  if (text === null || textBytes(text) <= most) return { text, faults };
  return { text: headOf(text, most), truncated: true, faults };
}

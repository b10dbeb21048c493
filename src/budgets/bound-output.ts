import { BUDGETS, jsonBytes } from './budgets.js';

/** What a turn answered as a result has it: whole, or that it is too large. */
export function boundOutput(
  output: { readonly value: unknown } | undefined,
  maxBytes: number = BUDGETS.output,
): { output?: unknown; outputOmitted?: true } {
  if (!output) return {};
  return jsonBytes(output.value) <= maxBytes ? { output: output.value } : { outputOmitted: true };
}

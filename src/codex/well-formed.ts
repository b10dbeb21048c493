/** The text with every lone surrogate replaced by U+FFFD: codex never answers a message that has one. */
export const toWellFormed = (text: string): string => (text as string & WithToWellFormed).toWellFormed();

/**
 * JSON whose string values hold no lone surrogate.
 * @throws TypeError on what JSON cannot hold (a bigint, a cycle)
 */
export function wellFormedJson(value: unknown): string {
  const json = JSON.stringify(value);
  // JSON.stringify escapes lone surrogates and nothing else as \ud…, so most texts need no second pass.
  if (!json.includes('\\ud')) return json;
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'string' ? toWellFormed(part) : part,
  );
}

/** ES2024, in Node since 20; the compiler's ES2023 library does not name it. */
interface WithToWellFormed {
  toWellFormed(): string;
}

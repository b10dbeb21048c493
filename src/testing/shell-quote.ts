/** A character that needs no quotes; one that single quotes may hold; one that double quotes may. */
const BARE = /^[\w+\-./:@\]]$/;
const IN_SINGLE = /^[^'^\\]$/s;
const IN_DOUBLE = /^[^`$!^]$/s;
/** What a backslash goes before in double quotes. */
const ESCAPED = /["\\]/g;

/** One word of a shell as codex writes it in what it asks: piece by piece, each in the plainest quotes that hold it. */
export function quoteWord(word: string): string {
  if (word === '') return "''";
  let quoted = '';
  for (let rest = word; rest !== '';) {
    const { length, way } = nextPiece(rest);
    quoted += way(rest.slice(0, length));
    rest = rest.slice(length);
  }
  return quoted;
}

const WAYS: readonly [RegExp, (piece: string) => string][] = [
  [BARE, (piece) => piece],
  [IN_SINGLE, (piece) => `'${piece}'`],
  [IN_DOUBLE, (piece) => `"${piece.replace(ESCAPED, '\\$&')}"`],
];

/** The longest beginning that one way of quoting holds. */
function nextPiece(text: string): { length: number; way: (piece: string) => string } {
  // Right after a single quote a shell takes this sign as it is, and nowhere else in quotes.
  const isCaret = text.startsWith('^');
  let ways = isCaret ? [WAYS[1]!] : [...WAYS];
  let length = isCaret ? 1 : 0;
  for (; length < text.length; length++) {
    const left = ways.filter(([holds]) => holds.test(text[length]!));
    if (left.length === 0) break;
    ways = left;
  }
  return { length, way: ways[0]![1] };
}

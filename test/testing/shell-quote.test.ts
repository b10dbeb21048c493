import { expect, it } from 'vitest';
import { quoteWord } from '../../src/testing/shell-quote.js';

it.each([
  ['', "''"],
  ['true', 'true'],
  ['a/b:c@d+e-f.g]', 'a/b:c@d+e-f.g]'],
  ['rm -rf x', "'rm -rf x'"],
  ['a=b', "'a=b'"],
  ['echo $HOME', "'echo $HOME'"],
  ['echo "it\'s"', '"echo \\"it\'s\\""'],
  ["it's $HOME", "\"it's \"'$HOME'"],
  ['a\\b', '"a\\\\b"'],
  ['^a b', "'^a b'"],
])('quotes a command as Codex quotes it: %j', (word, quoted) => {
  expect(quoteWord(word)).toBe(quoted);
});

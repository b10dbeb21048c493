import ts from 'typescript';
import { expect, it } from 'vitest';
import { filesBelow, read } from './support/documents.js';

const MOST_CHARACTERS = 100;
/** Names that may begin a title; so may words in capitals: `AGENTS.md`, `SIGTERM`. */
const NAMES = /^(?:Codex|OpenAI|Temporal|Node|Bash|Schedule|Ctrl-C|TypeScript|Python)\b/;
/** Words that have a standard name in the glossary of ARCHITECTURE.md, or a plainer one. */
const GONE =
  /\b(?:errands?|desk|stays of|anew|all the same|befell|(?:puts?|is|are) put back|lets? go|go(?:es)? on|is said|are said|also when|even though)\b/i;

interface Title {
  text: string;
  at: string;
}

/** The titles of the tests and groups in a file, with `%s` in the place of what a template fills in. */
function titlesIn(path: string, text: string): Title[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023);
  const titles: Title[] = [];
  const visit = (node: ts.Node): void => {
    const [first, second] = ts.isCallExpression(node) ? node.arguments : [];
    if (ts.isCallExpression(node) && first && second && /^(?:it|test|describe)$/.test(calledBy(node))) {
      const { line } = source.getLineAndCharacterOfPosition(first.getStart(source));
      const title = textOf(first);
      if (title !== null) titles.push({ text: title, at: `${path}:${line + 1}` });
    }
    node.forEachChild(visit);
  };
  visit(source);
  return titles;
}

/** The name at the root of a call: `it` of `it.each(table)('…')`. */
function calledBy(node: ts.Expression): string {
  if (ts.isCallExpression(node) || ts.isPropertyAccessExpression(node)) return calledBy(node.expression);
  return ts.isIdentifier(node) ? node.text : '';
}

function textOf(node: ts.Expression): string | null {
  if (ts.isStringLiteralLike(node)) return node.text;
  if (!ts.isTemplateExpression(node)) return null;
  return node.head.text + node.templateSpans.map(({ literal }) => `%s${literal.text}`).join('');
}

const faultsOf = ({ text, at }: Title): string[] => [
  ...(text.length > MOST_CHARACTERS ? [`${at} has ${text.length} characters: ${text}`] : []),
  ...(/\w\.$/.test(text) ? [`${at} ends with a full stop: ${text}`] : []),
  ...(/^[A-Z](?:[a-z]| )/.test(text) && !NAMES.test(text) ? [`${at} begins with a capital: ${text}`] : []),
  ...(GONE.test(text) ? [`${at} has a word that is not in use: ${text}`] : []),
];

it('titles of tests are short, begin in lower case and use standard words', () => {
  const files = filesBelow('test').filter((name) => name.endsWith('.ts'));
  const titles = files.flatMap((name) => titlesIn(name, read(name)));
  expect(titles.length).toBeGreaterThan(2_000);
  expect(titles.flatMap(faultsOf)).toEqual([]);
});

it('the check finds each fault, in tables and templates too', () => {
  const long = 'x'.repeat(101);
  const text = `it('${long}', f);\ndescribe.each(t)('A task', f);\ntest(\`ends \${a}.\`, f);\nit('goes on', f);`;
  expect(titlesIn('a.ts', text).flatMap(faultsOf)).toEqual([
    `a.ts:1 has 101 characters: ${long}`,
    'a.ts:2 begins with a capital: A task',
    'a.ts:3 ends with a full stop: ends %s.',
    'a.ts:4 has a word that is not in use: goes on',
  ]);
});

import type { PolicyRule } from '../contract/index.js';

/**
 * Rules of codex's execpolicy files, as far as they are about commands:
 * `prefix_rule(pattern=["git", ["push", "fetch"]], decision="prompt")` with `allow` (default), `prompt`, `forbidden`.
 * `justification`, `match` and `not_match` are read and say nothing.
 * @throws Error that says in which line what was expected
 */
export function parseExecpolicy(source: string): PolicyRule[] {
  const tokens = tokensOf(source);
  const rules: PolicyRule[] = [];
  let at = 0;
  const fail = (expected: string): never => {
    throw new Error(`line ${tokens[at]?.line ?? source.split('\n').length}: expected ${expected}`);
  };
  const take = (mark: string) => (tokens[at]?.mark === mark ? at++ : fail(`"${mark}"`));
  const isNext = (mark: string) => tokens[at]?.mark === mark;

  function value(): Value {
    const { text } = tokens[at] ?? {};
    if (text !== undefined) return (at++, text);
    if (!isNext('[')) return fail('a string or a list');
    take('[');
    const items: Value[] = [];
    while (!isNext(']')) {
      items.push(value());
      if (!isNext(']')) take(',');
    }
    take(']');
    return items;
  }

  while (at < tokens.length) {
    if (tokens[at]?.name !== 'prefix_rule') fail('prefix_rule(…)');
    const { line } = tokens[at++]!;
    take('(');
    const given: Record<string, Value> = {};
    while (!isNext(')')) {
      const name = tokens[at]?.name ?? fail('the name of an argument');
      if (!ARGUMENTS.includes(name)) fail(`one of ${ARGUMENTS.join(', ')}`);
      at++;
      take('=');
      given[name] = value();
      if (!isNext(')')) take(',');
    }
    take(')');
    rules.push(ruleOf(given, line));
  }
  return rules;
}

type Value = string | Value[];
const ARGUMENTS = ['pattern', 'decision', 'justification', 'match', 'not_match'];
const DECISIONS: Readonly<Record<string, PolicyRule['then']>> = {
  allow: 'allow',
  prompt: 'ask',
  forbidden: 'deny',
};

function ruleOf({ pattern, decision = 'allow' }: Record<string, Value>, line: number): PolicyRule {
  const then =
    typeof decision === 'string' && Object.hasOwn(DECISIONS, decision) ? DECISIONS[decision] : undefined;
  if (then === undefined) throw new Error(`line ${line}: expected decision allow, prompt or forbidden`);
  const isText = (word: Value | undefined) => typeof word === 'string' && word !== '';
  const words = Array.isArray(pattern) ? pattern : [];
  const isFit = (word: Value) =>
    isText(word) || (Array.isArray(word) && word.length > 0 && word.every(isText));
  if (words.length === 0 || !words.every(isFit))
    throw new Error(`line ${line}: expected a pattern of words and lists of words`);
  return { pattern: words as PolicyRule['pattern'], then };
}

interface Token {
  line: number;
  name?: string;
  text?: string;
  mark?: string;
}

const TOKEN = /\s+|#[^\n]*|([A-Za-z_]\w*)|"((?:[^"\\\n]|\\.)*)"|'((?:[^'\\\n]|\\.)*)'|([()[\]=,])/y;
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };

function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < source.length) {
    const from = TOKEN.lastIndex;
    const found = TOKEN.exec(source);
    if (!found)
      throw new Error(`line ${line}: cannot be read at ${JSON.stringify(source.slice(from, from + 20))}`);
    const [all, name, double, single, mark] = found;
    const text = double ?? single;
    if (name !== undefined) tokens.push({ line, name });
    else if (mark !== undefined) tokens.push({ line, mark });
    else if (text !== undefined)
      tokens.push({ line, text: text.replace(/\\(.)/g, (_, char: string) => ESCAPES[char] ?? char) });
    line += all.split('\n').length - 1;
  }
  return tokens;
}

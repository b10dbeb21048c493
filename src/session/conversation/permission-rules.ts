import type { Behavior, PermissionRule, PolicyRule } from '../../contract/index.js';
import { coversExtras, meetsExtras } from './extra-rules.js';
import { openSearch, type Search } from './pattern-search.js';
import type { RuleSubject } from './rule-subject.js';
import { mayBegin, surelyBegins, type Prefix } from './shell/match-prefix.js';
import type { PlainCommand } from './shell/plain-commands.js';
import type { SeenScript } from './shell/seen-script.js';

export { subjectOf, type RuleSubject } from './rule-subject.js';

/** Decision of the rules about a part of a request; null: none matches. */
type Verdict = PermissionRule['then'] | null;

/** One command of a request, or all of it where it cannot be split. */
interface Part {
  /** Null: it is no plain command, and no rule about commands allows it. */
  readonly command: PlainCommand | null;
  readonly seen: SeenScript | null;
}

/**
 * What rules decide of a request; null: it is asked. Of each command in it the first rule that matches counts, and of
 * the commands the strictest. A rule matches when each condition that it names holds:
 * - `commandPrefix`: leading words of the command. To deny or ask also of one behind keywords, wrappers and nested
 *   shells, and of one that is unknown; to allow, of a plain command as it is written.
 * - `pattern`: a regular expression found in the script, or in one of it; to allow, in each plain command.
 * - `path`: a file change is at or below it. To deny or ask, one of the files, or unknown ones; to allow, all of
 *   them, links followed.
 * - `server`, `tool`: of an MCP server's question and of a tool call that waits for approval.
 * - `network`, `grants`: what a command asks for beyond its sandbox. To allow, the rule must name all of it.
 * What only a person can answer no rule allows.
 * @param policy rules in codex's own notation, of which the strictest counts, over the others too
 */
export function decideByRules(
  rules: readonly PermissionRule[],
  subject: RuleSubject,
  policy: readonly PolicyRule[] = [],
): Behavior | null {
  const search = openSearch();
  const parts: readonly Part[] = subject.plain?.length
    ? subject.plain
    : [{ command: null, seen: subject.seen }];
  const verdicts = parts.map((part) => {
    const rule = rules.find((each) => matches(each, subject, part, search));
    return strictest([rule?.then ?? null, ...policyVerdicts(policy, subject, part)]);
  });
  // A command without a matching rule is asked about, whatever the others get.
  const verdict = verdicts.includes('deny') ? 'deny' : verdicts.includes(null) ? null : strictest(verdicts);
  if (verdict === 'allow' && subject.needsInput) return null;
  return verdict === 'ask' ? null : verdict;
}

const STRICTNESS = ['allow', 'ask', 'deny'] as const;

function strictest(verdicts: readonly Verdict[]): Verdict {
  return verdicts.reduce<Verdict>((worst, each) => {
    if (each === null || worst === null) return worst ?? each;
    return STRICTNESS.indexOf(each) > STRICTNESS.indexOf(worst) ? each : worst;
  }, null);
}

function matches(rule: PermissionRule, subject: RuleSubject, part: Part, search: Search): boolean {
  const allows = rule.then === 'allow';
  return (
    (rule.kind === undefined || rule.kind === subject.kind) &&
    (!allows || coversExtras(rule, subject.kind, subject.extras)) &&
    (allows || meetsExtras(rule, subject.extras)) &&
    (!allows || !subject.isOdd) &&
    (rule.commandPrefix === undefined || startsWith(rule.commandPrefix, subject, part, allows)) &&
    (rule.pattern === undefined || found(rule.pattern, subject, part, allows, search)) &&
    (rule.path === undefined || touches(rule.path, subject, allows)) &&
    (rule.server === undefined || isNamed(rule.server, subject.server, allows)) &&
    (rule.tool === undefined || isNamed(rule.tool, subject.tool, allows))
  );
}

const runsCommands = ({ kind }: RuleSubject): boolean => kind === 'command' || kind === 'stdin';

function startsWith(prefix: Prefix, subject: RuleSubject, { command, seen }: Part, allows: boolean): boolean {
  if (!runsCommands(subject)) return false;
  if (allows) return command !== null && surelyBegins(prefix, command.words);
  return !seen || seen.hidden || seen.foreign || seen.runs.some((words) => mayBegin(prefix, words));
}

function found(pattern: string, subject: RuleSubject, part: Part, allows: boolean, search: Search): boolean {
  if (!runsCommands(subject)) return false;
  if (allows) return part.command !== null && search(pattern, [part.command.text]) === true;
  if (!part.seen || part.seen.hidden) return true;
  const texts = [subject.script ?? '', ...part.seen.texts, ...part.seen.runs.map(wordsOf)];
  // A search out of time is unknown.
  return search(pattern, texts) !== false;
}

const wordsOf = (words: SeenScript['runs'][number]): string => words.map(({ text }) => text).join(' ');

function touches(folder: string, { kind, paths, extras }: RuleSubject, allows: boolean): boolean {
  const prefix = folder.replace(/\/+$/, '');
  const inside = (path: string) => path === prefix || path.startsWith(`${prefix}/`);
  if (kind !== 'fileChange')
    return (
      !allows && (extras.isUnknown || extras.paths.some(({ path }) => inside(path) || isAround(path, prefix)))
    );
  if (paths.length === 0) return !allows;
  // A request may open a folder as a whole.
  return allows ? paths.every(inside) : paths.some((path) => inside(path) || isAround(path, prefix));
}

const isAround = (path: string, inner: string): boolean => inner.startsWith(path.replace(/\/*$/, '/'));

const isNamed = (wanted: string, name: string | null | undefined, allows: boolean): boolean =>
  name === undefined ? !allows : name === wanted;

function policyVerdicts(policy: readonly PolicyRule[], subject: RuleSubject, part: Part): Verdict[] {
  return policy
    .filter(({ pattern, then }) => {
      const allows = then === 'allow';
      const isFit =
        !allows || (subject.kind === 'command' && coversExtras({ then }, 'command', subject.extras));
      return isFit && startsWith(pattern, subject, part, allows);
    })
    .map(({ then }) => then);
}

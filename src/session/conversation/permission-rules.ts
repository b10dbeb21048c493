import { createContext, Script } from 'node:vm';
import { toolCallOf } from '../../codex/requests.js';
import type { Behavior, PermissionKind, PermissionRule } from '../../contract.js';
import { hasOperators, scriptOf, shellCommands } from './shell-words.js';

/** What rules look at in a request. */
export interface RuleSubject {
  readonly kind: PermissionKind;
  /** The script that a shell would run; null when it is no command. */
  readonly script: string | null;
  /** Absolute paths that a file change touches, as named and as they really are; empty when unknown. */
  readonly paths: readonly string[];
  readonly server: string | null;
  readonly tool: string | null;
}

/** The subject of a request with codex's own parameters. `paths`: what a file change touches. */
export function subjectOf(
  kind: PermissionKind,
  input: Readonly<Record<string, unknown>>,
  paths: readonly string[],
): RuleSubject {
  const { command, serverName } = input;
  return {
    kind,
    script: kind === 'command' && typeof command === 'string' ? scriptOf(command) : null,
    paths,
    server: typeof serverName === 'string' ? serverName : null,
    tool: toolCallOf(input),
  };
}

/**
 * What the first matching rule says; null: ask, by that rule or because none matches. A rule matches when each
 * condition it names holds:
 * - `commandPrefix`: leading words of the command. To deny or ask, of any command in the script; to allow, of
 *   a script that is one simple command without shell operators.
 * - `pattern`: a regular expression found in the script.
 * - `path`: a file change is at or below it. To deny or ask, one of the files; to allow, all of them, links
 *   followed.
 * - `server`, `tool`: of an MCP server's question and of a tool call that waits for approval.
 */
export function decideByRules(rules: readonly PermissionRule[], subject: RuleSubject): Behavior | null {
  const rule = rules.find((each) => matches(each, subject));
  return rule === undefined || rule.then === 'ask' ? null : rule.then;
}

function matches(rule: PermissionRule, subject: RuleSubject): boolean {
  const allows = rule.then === 'allow';
  return (
    (rule.kind === undefined || rule.kind === subject.kind) &&
    (rule.commandPrefix === undefined || startsWith(rule.commandPrefix, subject.script, allows)) &&
    (rule.pattern === undefined || found(rule.pattern, subject.script, allows)) &&
    (rule.path === undefined || touches(rule.path, subject.paths, allows)) &&
    (rule.server === undefined || rule.server === subject.server) &&
    (rule.tool === undefined || rule.tool === subject.tool)
  );
}

function startsWith(prefix: readonly string[], script: string | null, allows: boolean): boolean {
  if (script === null || (allows && hasOperators(script))) return false;
  // A script whose quotes do not close is nothing to allow, and too odd to let a denial pass it by.
  const commands = shellCommands(script);
  if (commands === null) return !allows;
  return commands.some((words) => {
    const meant = allows ? words : words.slice(words.findIndex((word) => !ASSIGNMENT.test(word)));
    return prefix.every((word, i) => meant[i] === word);
  });
}

/** `NAME=value` before a command. */
const ASSIGNMENT = /^[A-Za-z_]\w*=/;

/**
 * Milliseconds a pattern may search: one that backtracks without end must not stop the worker. Tried again once, for the
 * first time may have gone to another process.
 */
const SEARCH_MS = [50, 150];
const SEARCH = new Script('new RegExp(pattern, "s").test(text)');
const searched = { pattern: '', text: '' };
createContext(searched);

function found(pattern: string, script: string | null, allows: boolean): boolean {
  if (script === null) return false;
  searched.pattern = pattern;
  searched.text = script;
  for (const timeout of SEARCH_MS) {
    try {
      return SEARCH.runInContext(searched, { timeout }) === true;
    } catch {
      // Out of time.
    }
  }
  return !allows;
}

function touches(folder: string, paths: readonly string[], allows: boolean): boolean {
  if (paths.length === 0) return false;
  const prefix = folder.replace(/\/+$/, '');
  const inside = (path: string) => path === prefix || path.startsWith(`${prefix}/`);
  return allows ? paths.every(inside) : paths.some(inside);
}

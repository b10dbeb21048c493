import { isAbsolute, resolve } from 'node:path';
import { toolCallOf, typedText } from '../../codex/requests.js';
import type { PermissionKind } from '../../contract/index.js';
import { isMcpToolCall, needsPerson } from '../../input/answers.js';
import { extrasOf, type Extras } from '../../input/request-extras.js';
import { reallyAt } from './rule-paths.js';
import { scriptOf } from './shell-words.js';
import { seePlainly, seeScript, type SeenScript } from './shell/seen-script.js';
import type { PlainCommand } from './shell/plain-commands.js';

/** The parts of a request that rules match. */
export interface RuleSubject {
  readonly kind: PermissionKind;
  /** A command of a kind that no rule for commands knows. */
  readonly isOdd: boolean;
  /** The script that a shell would run or get typed; null: it is no command, or the command is unknown. */
  readonly script: string | null;
  readonly seen: SeenScript | null;
  /** The commands of a script of plain commands only; null: it has more than those, or is unknown. */
  readonly plain: readonly { command: PlainCommand; seen: SeenScript }[] | null;
  /** Absolute paths that a file change touches, as named and as they really are; empty when unknown. */
  readonly paths: readonly string[];
  /** What a command asks for beyond its sandbox. */
  readonly extras: Extras;
  /** Null: there is none; undefined: unknown. */
  readonly server: string | null | undefined;
  readonly tool: string | null | undefined;
  /** Only a person can answer it. */
  readonly needsInput: boolean;
}

/** The subject of a request with codex's own parameters. `paths`: what a file change touches. */
export function subjectOf(
  kind: PermissionKind,
  input: Readonly<Record<string, unknown>>,
  paths: readonly string[],
): RuleSubject {
  const { serverName } = input;
  const script = scriptIn(kind, input);
  const isOdd = kind === 'command' && !['command', undefined, null].includes(input['kind'] as string | null);
  const isMcp = kind === 'elicitation' || kind === 'tool';
  return {
    kind,
    isOdd,
    script,
    seen: script === null ? null : kind === 'stdin' ? seeTyped(script) : seeScript(script),
    plain: script === null || kind === 'stdin' || isOdd ? null : seePlainly(script),
    paths,
    extras: asTheyAre(extrasOf(kind, input)),
    server: typeof serverName === 'string' ? serverName : isMcp ? undefined : null,
    tool: isMcpToolCall(input) ? (toolCallOf(input) ?? undefined) : null,
    needsInput: needsPerson(kind, input),
  };
}

/** Each path as named and as resolved; one below an unknown folder is unknown. */
function asTheyAre({ hosts, paths, isUnknown }: Extras): Extras {
  const known = paths.filter(({ path }) => isAbsolute(path));
  return {
    hosts,
    paths: known.flatMap(({ path, access }) =>
      [...new Set([resolve(path), reallyAt('/', path)])].map((each) => ({ path: each, access })),
    ),
    isUnknown: isUnknown || known.length < paths.length,
  };
}

function scriptIn(kind: PermissionKind, input: Readonly<Record<string, unknown>>): string | null {
  const { command } = input;
  if (typeof command !== 'string') return null;
  if (kind === 'stdin') return typedText(command);
  return kind === 'command' ? scriptOf(command) : null;
}

/**
 * Matches text for a terminal as a script. Unless it is whole lines it may continue earlier input, and a key like
 * "up" recalls a line that is unknown here.
 */
function seeTyped(text: string): SeenScript {
  const seen = seeScript(text);

  const isWhole = text === '' || (/\n$/.test(text) && !/\\\n|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(text));
  return { ...seen, hidden: seen.hidden || !isWhole };
}

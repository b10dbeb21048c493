import type { Command, ParsedScript, PipelineNode, Redirection, Statement } from 'unbash';
import { wordOf, type ShellWord } from './shell-word.js';

/** A simple command as it is written. */
export interface PlainCommand {
  /** All literal, but for patterns of file names behind the first. */
  readonly words: readonly ShellWord[];
  readonly text: string;
}

/**
 * The commands of a script that holds nothing but these, joined by `;`, `&&`, `||`, `|` or a new line: no keyword, no
 * group, no assignment, no substitution, no variable, no redirection but of one descriptor to another or to
 * /dev/null. Null: it holds more than that.
 */
export function plainCommands(script: ParsedScript, source: string): PlainCommand[] | null {
  if (script.errors?.length || script.commands.length === 0) return null;
  const nodes = script.commands.map(partsOfStatement);
  if (nodes.includes(null)) return null;
  const commands = nodes.flatMap((each) => each!).map((node) => plain(node, source));
  return commands.includes(null) ? null : (commands as PlainCommand[]);
}

function partsOfStatement({ command, background }: Statement): Command[] | null {
  if (background) return null;
  const pipelines: readonly PipelineNode[] = command.type === 'AndOr' ? command.commands : [command];
  const commands: Command[] = [];
  for (const pipeline of pipelines) {
    if (pipeline.type === 'Pipeline' && pipeline.prefixes.length > 0) return null;
    for (const each of pipeline.type === 'Pipeline' ? pipeline.commands : [pipeline]) {
      if (each.type !== 'Command') return null;
      commands.push(each);
    }
  }
  return commands;
}

function plain({ name, prefix, args, redirects, pos, end }: Command, source: string): PlainCommand | null {
  if (!name || prefix.length > 0 || !redirects.every(isHarmless)) return null;
  const words = [name, ...args].map((each) => ({ each, word: wordOf(each) }));
  const isKnown = words.every(({ each, word }, i) => {
    // A sign of something that the shell expands, though it stands alone.
    if (each.type === 'Word' && !each.parts && each.text.includes('$')) return false;
    return (
      !word.open || (i > 0 && each.type === 'Word' && !!each.parts?.every(({ type }) => FILE_NAMES.has(type)))
    );
  });
  return isKnown ? { words: words.map(({ word }) => word), text: source.slice(pos, end) } : null;
}

/** What makes file names of a word and runs nothing. */
const FILE_NAMES = new Set(['Literal', 'SingleQuoted', 'Glob', 'BraceExpansion']);

function isHarmless(redirect: Redirection): boolean {
  if (redirect.type !== 'Redirect' || redirect.descriptor?.type === 'FileDescriptorVariable') return false;
  const target = redirect.target && wordOf(redirect.target);
  if (!target || target.open) return false;
  if (redirect.operator === '>&' || redirect.operator === '<&') return /^(?:\d+|-)$/.test(target.text);
  return target.text === '/dev/null';
}

import { forEachChild, type Command, type SyntaxNode } from 'unbash';
import { parseShell } from '../../../codex/parse-shell.js';
import { plainCommands, type PlainCommand } from './plain-commands.js';
import { RUNS_BY_NAME } from './programs.js';
import { newEffort, runBy, type Run } from './run-by.js';
import { ANY_WORDS, wordOf, type ShellWord } from './shell-word.js';
import { valueUse } from './value-use.js';

/** What a script may run, as far as a reader can tell. */
export interface SeenScript {
  /** Every command it may run that is known, behind wrappers and in nested scripts too. */
  readonly runs: readonly (readonly ShellWord[])[];
  /** The shell may run something that is not among them. */
  readonly hidden: boolean;
  /** A program of another language may: its text is there to be read. */
  readonly foreign: boolean;
  /** The script and the scripts in it. */
  readonly texts: readonly string[];
}

/** Past these a script counts as not understood: reading it must not take long. */
const MAX_SCRIPTS = 64;
const MAX_RUNS = 5_000;

/** Sees through a script. */
export function seeScript(script: string): SeenScript {
  const seeing = new Seeing();
  try {
    seeing.script(script);
    return seeing.seen();
  } catch {
    // Nested so deep that it cannot be walked.
    return { runs: [], hidden: true, foreign: true, texts: [script] };
  }
}

/**
 * The commands of a script that is nothing but simple commands with literal words, one after another or in pipelines,
 * each with what it may run; null: it is anything else, or not understood.
 */
export function seePlainly(script: string): { command: PlainCommand; seen: SeenScript }[] | null {
  const parsed = parseShell(script);
  const commands = plainCommands(parsed, script);
  return (
    commands?.map((command) => {
      const seeing = new Seeing();
      seeing.plain(command.words);
      return { command, seen: { ...seeing.seen(), texts: [command.text, ...seeing.texts] } };
    }) ?? null
  );
}

/** A substitution, in a text that the shell takes as it is. */
const HOLDS_CODE = /\$\(|`|\$\{/;

class Seeing {
  readonly runs: (readonly ShellWord[])[] = [];
  readonly texts: string[] = [];
  private readonly effort = newEffort();
  private hidden = false;
  private foreign = false;
  private isTooMuch = false;
  /** Texts may be evaluated, and a text in quotes holds a substitution. */
  private evaluates = false;
  private holdsCode = false;
  /** Values from outside come into variables, and values of variables are evaluated. */
  private takesIn = false;
  private evaluatesValues = false;
  /** What a function is given may be such a value. */
  private hasFunction = false;
  private hasOutput = false;

  seen(): SeenScript {
    const takesIn = this.takesIn || (this.hasFunction && this.hasOutput);
    const hidden =
      this.hidden ||
      this.isTooMuch ||
      (this.evaluates && this.holdsCode) ||
      (this.evaluatesValues && takesIn);
    return { runs: this.runs, hidden, foreign: this.foreign, texts: this.texts };
  }

  script(text: string): void {
    this.texts.push(text);
    if (this.texts.length > MAX_SCRIPTS) return void (this.isTooMuch = true);
    this.node(parseShell(text));
  }

  /** A command whose words are no part of a script that is looked at. */
  plain(words: readonly ShellWord[]): void {
    if (words.some(({ text }) => HOLDS_CODE.test(text))) this.holdsCode = true;
    this.command(words);
  }

  command(words: readonly ShellWord[], input: string | null = null): void {
    if (this.runs.length > MAX_RUNS) return void (this.isTooMuch = true);
    const found = runBy(words, input, this.effort);
    for (const run of found.runs) this.runs.push(run);
    this.note(found);
    for (const nested of found.scripts) this.script(nested);
    // What does not read as a script is none, and says nothing.
    const { hidden, foreign } = this;
    for (const nested of found.maybe) this.script(nested);
    if (found.maybe.length > 0) Object.assign(this, { hidden, foreign });
  }

  private note({ hidden, foreign, evaluates }: Run): void {
    this.hidden ||= hidden;
    this.foreign ||= foreign;
    this.evaluates ||= evaluates;
  }

  private node(node: SyntaxNode): void {
    const { takesIn, evaluates } = valueUse(node);
    this.takesIn ||= takesIn;
    this.evaluatesValues ||= evaluates;
    this.hasFunction ||= node.type === 'Function';
    this.hasOutput ||= node.type === 'CommandExpansion';
    switch (node.type) {
      case 'Script':
        if (node.errors?.length) this.hidden = true;
        break;
      case 'Command':
        this.commandNode(node);
        break;
      case 'Assignment':
        if (RUNS_BY_NAME.test(node.name)) this.hidden = true;
        break;
      case 'SingleQuoted':
      case 'AnsiCQuoted':
      case 'HereDocBody':
        if (HOLDS_CODE.test(node.text)) this.holdsCode = true;
        break;
      case 'ArithmeticCommand':
      case 'ArithmeticExpansion':
      case 'ArithmeticFor':
      case 'TestCommand':
        this.evaluates = true;
        break;
      // A value is read as a prompt, which may hold a substitution.
      case 'Transform':
        this.evaluates = true;
        if (node.operand.text.includes('P')) this.hidden = true;
        break;
      case 'CommandExpansion':
      case 'ProcessSubstitution':
      case 'ArithmeticCommandExpansion':
        if (!node.script) this.hidden = true;
        break;
      case 'ParameterExpansion':
        if (node.prefix === '!' || node.index || node.operation?.type === 'Unknown') this.evaluates = true;
        break;
      default:
        break;
    }
    forEachChild(node, (child) => this.node(child));
  }

  private commandNode({ name, args, redirects }: Command): void {
    if (!name) return;
    const words = [wordOf(name), ...args.map(wordOf)];
    // Where several words may come of one, what follows is still among them.
    const first = words[0]!.many && words[0]!.open ? [ANY_WORDS] : words;
    this.command(first, stdinOf(redirects));
  }
}

/** The text that a command reads, when it is written in the script; null: it is not. */
function stdinOf(redirects: Command['redirects']): string | null {
  const last = redirects.at(-1);
  if (last?.type === 'HereDoc')
    return last.body.parts?.some(({ type }) => type !== 'Literal') ? null : last.body.text;
  if (last?.type !== 'HereString' || !last.target) return null;
  const word = wordOf(last.target);
  return word.open ? null : word.text;
}

import { basename } from 'node:path';
import { isHiddenGit } from './git-words.js';
import {
  ADDS_WORDS,
  AWK,
  CODE_OPTION,
  DATA,
  EVALUATORS,
  INTERPRETER,
  LANGUAGE,
  PLAIN_WRAPPERS,
  READS_SCRIPT,
  REBINDS,
  RUNS_BY_NAME,
  RUNS_MODULE,
  SAFE_OPTION,
  SHELL,
  WRAPPERS,
} from './programs.js';
import { isInput, isToldToRun, partsThatMayRun } from './run-options.js';
import { isSedThatRuns } from './sed-words.js';
import { ANY_WORDS, literal, type ShellWord } from './shell-word.js';

type Words = readonly ShellWord[];

/** What one command may run. */
export interface Run {
  /** The command itself and those that it may run, by their words. */
  readonly runs: readonly Words[];
  /** Scripts it runs. */
  readonly scripts: readonly string[];
  /** Texts that it may run as scripts, and that need be none. */
  readonly maybe: readonly string[];
  readonly hidden: boolean;
  readonly foreign: boolean;
  /** It evaluates texts given to it. */
  readonly evaluates: boolean;
}

const NOTHING: Run = { runs: [], scripts: [], maybe: [], hidden: false, foreign: false, evaluates: false };
const HIDDEN: Run = { ...NOTHING, hidden: true };
const FOREIGN: Run = { ...NOTHING, foreign: true };

/** How many commands may still be looked at: each may be any of the words behind each of the others. */
export interface Effort {
  left: number;
  depth: number;
}

export const newEffort = (): Effort => ({ left: MAX_EFFORT, depth: 0 });
const MAX_EFFORT = 2_000;
/** Of programs that run each other. */
const MAX_DEPTH = 6;

/** Builtins that set the variables they name. */
const SETS = new Set(['export', 'declare', 'typeset', 'local', 'readonly', 'read']);

/** Whether a program is a file that the agent may have made: what it does is not in its name. */
const isFileOfItsOwn = ({ text }: ShellWord): boolean => text.includes('/') && !SYSTEM.test(text);
const SYSTEM = /^\/(?:usr\/(?:local\/)?)?s?bin\/[^/]+$/;

/** Operands looked at behind a program that may run them. */
const MAX_OPERANDS = 200;

/**
 * What the command of these words may run. A program that nobody knows may run each of its operands, with those behind
 * it; one that is known to take only data runs nothing.
 * @param input what it reads, when that is written in the script
 */
export function runBy(words: Words, input: string | null = null, effort: Effort = newEffort()): Run {
  const itself = special(words, input, effort);
  if (itself) return { ...itself, runs: [words, ...itself.runs] };
  if (isFileOfItsOwn(words[0]!)) return { ...HIDDEN, runs: [words] };
  const [program, ...operands] = words;
  const name = basename(program!.text);
  if (isToldToRun(name, operands)) return { ...HIDDEN, runs: [words] };
  if (SETS.has(name) && operands.some(({ text }) => RUNS_BY_NAME.test(text.split('=')[0]!)))
    return { ...HIDDEN, runs: [words] };
  if (DATA.has(name)) return { ...NOTHING, runs: [words], evaluates: EVALUATORS.has(name) };
  return wrapped(words, name, operands, effort);
}

/** Whoever runs its operands in a way of its own; null: none of these. */
function special(words: Words, input: string | null, effort: Effort): Run | null {
  if (effort.left-- <= 0 || effort.depth >= MAX_DEPTH) return HIDDEN;
  effort.depth++;
  const run = specially(words, input, effort);
  effort.depth--;
  return run;
}

function specially(words: Words, input: string | null, effort: Effort): Run | null {
  const [program, ...operands] = words;
  if (!program) return NOTHING;
  if (program.open) return HIDDEN;
  const name = basename(program.text);
  if (SHELL.test(name)) return shell(operands, input);
  if (name === '.' || name === 'source' || /\.(?:ba|z|k)?sh$/.test(name) || REBINDS.has(name)) return HIDDEN;
  if (name === 'eval') return joined(operands);
  if (name === 'trap')
    return joined(operands.filter((each) => each.open || !each.text.startsWith('-')).slice(0, 1));
  if (name === 'alias')
    return all(operands.map((each) => joined([each.open ? each : literal(afterEquals(each.text))])));
  if (name === 'find') return found(operands, effort);
  if (name === 'git' || name === 'hub') return isHiddenGit(operands) ? HIDDEN : null;
  if (name === 'npm' || name === 'pnpm' || name === 'yarn') return packages(name, words, operands, effort);
  if (READS_SCRIPT.has(name)) return HIDDEN;
  if (
    (name === 'sudo' || name === 'doas') &&
    operands.some(({ text }) => /^-[a-zA-Z]*[si]|^--(?:sh|lo)/.test(text))
  )
    return HIDDEN;
  if ((name === 'mapfile' || name === 'readarray') && operands.some(({ text }) => text.startsWith('-C')))
    return HIDDEN;
  if (AWK.test(name))
    return operands.some(({ text, open }) => open || AWK_RUNS.test(text)) ? FOREIGN : NOTHING;
  if (name === 'sed') return isSedThatRuns(operands) ? FOREIGN : NOTHING;
  if (INTERPRETER.test(name)) return LANGUAGE.test(name) ? interpreted(operands) : FOREIGN;
  return null;
}

const afterEquals = (text: string): string => text.slice(text.indexOf('=') + 1);

/** `-c script`, in whatever group of options; anything else is read from a file or from its input. */
function shell(operands: Words, input: string | null): Run {
  const option = operands.findIndex(({ text, open }) => !open && /^-[a-zA-Z]*c[a-zA-Z]*$/.test(text));
  if (option === -1) {
    const reads = operands.every(({ text, open }) => !open && text.startsWith('-'));
    return reads && input !== null ? { ...NOTHING, scripts: [input] } : HIDDEN;
  }
  const script = operands.slice(option + 1).find(({ text, open }) => open || !/^[-+]/.test(text));
  // Options before it may name a file that is run first.
  const isOdd = operands
    .slice(0, option)
    .some(({ text, open }) => open || /rcfile|init-file|^-[a-z]*i/.test(text));
  if (!script || script.open) return HIDDEN;
  return { ...NOTHING, scripts: [script.text], hidden: isOdd };
}

function joined(operands: Words): Run {
  if (operands.length === 0) return NOTHING;
  if (operands.some(({ open }) => open)) return HIDDEN;
  return { ...NOTHING, scripts: [operands.map(({ text }) => text).join(' ')] };
}

/** A program in a file is one that is there to be looked at; in an option or on its input it is not. */
function interpreted(operands: Words): Run {
  const file = operands.findIndex(({ text, open }) => open || !/^-./.test(text));
  if (file === -1 || isInput(operands[file]!.text)) return FOREIGN;
  const isOdd = operands.slice(0, file).some(({ text }, i) => {
    const module = text === '-m' && i === file - 1 ? operands[file]! : null;
    return module ? module.open || RUNS_MODULE.test(module.text) : !SAFE_OPTION.test(text);
  });
  const isCode = operands.some(({ text, open }) => (open && text === '') || CODE_OPTION.test(text));
  return isOdd || isCode || operands[file]!.text === 'eval' ? FOREIGN : NOTHING;
}

/** Code of awk that runs a command, calls what a text names, or is not here to be read. */
const AWK_RUNS =
  /system|\||getline|@\s*\w+\s*\(|@(?:load|include)|^-(?!v|F)[a-zA-Z]*[fEilD]|^--(?:f|i|l|ex|d|p|so)/;

/** Package managers: with such a word they run programs by their names, some with any word. */
function packages(name: string, words: Words, operands: Words, effort: Effort): Run | null {
  const runs = name !== 'npm' || operands.some(({ text }) => NPM_RUNS.test(text));
  if (!runs) return null;
  const hidden = isToldToRun(name, operands);
  const found = wrapped(words, 'npx', operands, effort);
  return { ...found, hidden: hidden || found.hidden };
}

const NPM_RUNS = /^(?:exec|x|dlx|explore|init|innit|create|config|c|set|edit)$/;

function found(operands: Words, effort: Effort): Run {
  if (operands.length > MAX_OPERANDS) return HIDDEN;
  const starts = operands.flatMap(({ text }, i) =>
    /^-(?:exec|execdir|ok|okdir)$/.test(text) ? [i + 1] : [],
  );
  const unknown = operands.some(({ many }) => many) ? HIDDEN : NOTHING;
  const each = starts.map((start) => {
    const rest = operands.slice(start);
    const end = rest.findIndex(({ text, open }) => !open && (text === ';' || text === '+'));
    const command = (end === -1 ? rest : rest.slice(0, end)).map((word) =>
      word.text.includes('{}') ? UNKNOWN : word,
    );
    return runBy(command, null, effort);
  });
  return all([unknown, ...each]);
}

const UNKNOWN: ShellWord = { text: '', open: true, many: false };

/** Operands of xargs as it runs them: in place of such a text stands what it reads. */
function withReplaced(operands: Words): Words {
  const texts = operands.flatMap(({ text }, i) => {
    const [, letter, attached] =
      /^-[a-zA-Z0-9]*?([Ii])(.*)$/s.exec(text) ?? /^--(r)eplace=?(.*)$/s.exec(text) ?? [];
    if (letter === undefined) return [];
    return [attached || (letter === 'I' ? (operands[i + 1]?.text ?? '') : '{}')];
  });
  if (texts.length === 0) return operands;
  const isOption = (i: number) => operands[i]!.text.startsWith('-') || operands[i - 1]?.text.endsWith('I');
  return operands.map((word, i) =>
    !isOption(i) && texts.some((text) => word.text.includes(text)) ? UNKNOWN : word,
  );
}

/** Every operand may be where the command begins. */
function wrapped(words: Words, name: string, given: Words, effort: Effort): Run {
  const isWrapper = WRAPPERS.has(name);
  if (given.length > MAX_OPERANDS) return { ...HIDDEN, runs: [words] };
  const operands = name === 'xargs' ? withReplaced(given) : given;
  const more = ADDS_WORDS.has(name) ? [ANY_WORDS] : [];
  const found: Run[] = [{ ...NOTHING, runs: [words] }];
  const command = operands.find(({ text }) => !/^-|=|^\d/.test(text));
  if (isWrapper && command && isFileOfItsOwn(command)) found.push(HIDDEN);
  for (const [i, operand] of operands.entries()) {
    if (operand.open) {
      if (isWrapper) found.push(HIDDEN);
      continue;
    }
    const [, variable] = /^(\w+)=/.exec(operand.text) ?? [];
    if (variable !== undefined && RUNS_BY_NAME.test(variable)) found.push(HIDDEN);
    for (const part of partsThatMayRun(operand.text)) {
      if (isInput(part)) found.push(FOREIGN);
      const rest = [literal(part), ...operands.slice(i + 1), ...more];
      const inner = special(rest, null, effort);
      found.push({ ...(inner ?? NOTHING), runs: [rest, ...(inner?.runs ?? [])] });
      // Such a text may be a whole script, as of `watch`, or of `env -S`.
      if (/[\s;&|()<>$`]/.test(part)) found.push({ ...NOTHING, [isWrapper ? 'scripts' : 'maybe']: [part] });
    }
    const isOperandOfOption = /^-[^=]*[a-zA-Z]$/.test(operands[i - 1]?.text ?? '');
    if (PLAIN_WRAPPERS.has(name) && DATA.has(basename(operand.text)) && !isOperandOfOption) break;
  }
  return all(found);
}

function all(each: readonly Run[]): Run {
  return {
    runs: each.flatMap(({ runs }) => runs),
    scripts: each.flatMap(({ scripts }) => scripts),
    maybe: each.flatMap(({ maybe }) => maybe),
    hidden: each.some(({ hidden }) => hidden),
    foreign: each.some(({ foreign }) => foreign),
    evaluates: each.some(({ evaluates }) => evaluates),
  };
}

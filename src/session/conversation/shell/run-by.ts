import { basename } from 'node:path';
import { isHiddenGit } from './git-words.js';
import {
  ADDS_WORDS,
  AWK,
  CODE_OPTION,
  DATA,
  EVALUATORS,
  INTERPRETER,
  PLAIN_WRAPPERS,
  REBINDS,
  SHELL,
  WRAPPERS,
} from './programs.js';
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

/** Operands looked at behind a program that may run them. */
const MAX_OPERANDS = 200;

/**
 * What the command of these words may run. A program that nobody knows may run each of its operands, with those behind
 * it; one that is known to take only data runs nothing.
 * @param input what it reads, when that is written in the script
 */
export function runBy(words: Words, input: string | null = null): Run {
  const itself = special(words, input);
  if (itself) return { ...itself, runs: [words, ...itself.runs] };
  const [program, ...operands] = words;
  const name = basename(program!.text);
  if (DATA.has(name)) return { ...NOTHING, runs: [words], evaluates: EVALUATORS.has(name) };
  return wrapped(words, name, operands);
}

/** Whoever runs its operands in a way of its own; null: none of these. */
function special(words: Words, input: string | null): Run | null {
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
  if (name === 'find') return found(operands);
  if (name === 'git') return isHiddenGit(operands) ? HIDDEN : null;
  if (name === 'npm' || name === 'pnpm' || name === 'yarn')
    return operands.some(({ text }) => /^(?:exec|x|dlx)$/.test(text))
      ? wrapped(words, 'npx', operands)
      : null;
  if ((name === 'mapfile' || name === 'readarray') && operands.some(({ text }) => text.startsWith('-C')))
    return HIDDEN;
  if (AWK.test(name))
    return operands.some(({ text, open }) => open || /system|\||getline|^-f/.test(text)) ? FOREIGN : NOTHING;
  if (name === 'sed') return operands.some(isSedThatRuns) ? FOREIGN : NOTHING;
  if (INTERPRETER.test(name)) return interpreted(operands);
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

function interpreted(operands: Words): Run {
  const isCode = operands.some(({ text, open }) => (open && text === '') || CODE_OPTION.test(text));
  const hasFile = operands.some(({ text, open }) => open || (text !== '' && !text.startsWith('-')));
  return isCode || !hasFile ? FOREIGN : NOTHING;
}

/** The `e` command of GNU sed, and its flag. */
const isSedThatRuns = ({ text, open }: ShellWord): boolean =>
  open ||
  /^-f|^--file|(?:^|[;{}\n\d$/!\s])e(?:\s|$)|[/|,#@][a-zA-Z0-9]*e[a-zA-Z0-9]*\s*(?:$|[;}\n])/.test(text);

function found(operands: Words): Run {
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
    return runBy(command);
  });
  return all([unknown, ...each]);
}

const UNKNOWN: ShellWord = { text: '', open: true, many: false };

/** Every operand may be where the command begins. */
function wrapped(words: Words, name: string, operands: Words): Run {
  const isWrapper = WRAPPERS.has(name);
  if (operands.length > MAX_OPERANDS) return { ...HIDDEN, runs: [words] };
  const more = ADDS_WORDS.has(name) ? [ANY_WORDS] : [];
  const found: Run[] = [{ ...NOTHING, runs: [words] }];
  for (const [i, operand] of operands.entries()) {
    if (operand.open) {
      if (isWrapper) found.push(HIDDEN);
      continue;
    }
    const rest = [...operands.slice(i), ...more];
    const inner = special(rest, null);
    found.push({ ...(inner ?? NOTHING), runs: [rest, ...(inner?.runs ?? [])] });
    // Such a text may be a whole script, as of `watch` and `ssh`, or of `env -S`.
    if (/[\s;&|()<>$`]/.test(operand.text))
      found.push({ ...NOTHING, [isWrapper ? 'scripts' : 'maybe']: [operand.text] });
    const isOperandOfOption = operands[i - 1]?.text.startsWith('-') ?? false;
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

import { basename } from 'node:path';
import { isLiteral, type ShellWord } from './shell-word.js';

/** Leading words of a command; of an element that is a list, any of it. */
export type Prefix = readonly (string | readonly string[])[];

const choicesOf = (element: string | readonly string[]): readonly string[] =>
  typeof element === 'string' ? [element] : element;

/** Whether a command surely begins with these words, as they are written. */
export function surelyBegins(prefix: Prefix, words: readonly ShellWord[]): boolean {
  return prefix.every((element, i) => {
    const word = words[i];
    return word !== undefined && isLiteral(word) && choicesOf(element).includes(word.text);
  });
}

/**
 * Whether a command may be one that begins with these words: its program by whatever path, options of the program
 * before a subcommand skipped, options of the prefix wherever they stand, unknown words taken for the ones looked for.
 */
export function mayBegin(prefix: Prefix, words: readonly ShellWord[]): boolean {
  const [first, ...rest] = prefix;
  const [program, ...operands] = words;
  if (first === undefined || program === undefined) return true;
  const isProgram = choicesOf(first).some(
    (choice) => program.open || basename(choice) === basename(program.text) || choice === program.text,
  );
  if (!isProgram) return false;
  let from = 0;
  for (const element of rest) {
    const choices = choicesOf(element);
    if (choices.some((choice) => isOption(choice) && hasOption(choice, operands))) continue;
    const at = nextOperand(
      operands,
      from,
      choices.filter((choice) => !isOption(choice)),
    );
    if (at === 'unknown') return true;
    if (at === null) return false;
    from = at + 1;
  }
  return true;
}

const isOption = (text: string): boolean => text.length > 1 && text.startsWith('-');

/** Where the first operand is one of these; words of options and what they may take are skipped. */
function nextOperand(
  operands: readonly ShellWord[],
  from: number,
  wanted: readonly string[],
): number | 'unknown' | null {
  for (let at = from; at < operands.length; at++) {
    const { text, open, many } = operands[at]!;
    if (many || (open && wanted.some((each) => each.startsWith(text)))) return 'unknown';
    if (!open && wanted.includes(text)) return at;
    const takesIt = at > 0 && isOption(operands[at - 1]!.text) && !operands[at - 1]!.text.includes('=');
    if (!isOption(text) && !takesIt) return null;
  }
  return null;
}

/** Whether an option is among the operands: long or short, in a group, shortened, or in what is unknown. */
function hasOption(option: string, operands: readonly ShellWord[]): boolean {
  if (operands.some(({ text, open }) => open && (text === '' || text.startsWith('-')))) return true;
  const given = operands.map(({ text }) => text).filter(isOption);
  if (given.some((each) => each === option || each.startsWith(`${option}=`))) return true;
  const isLong = option.startsWith('--');
  const long = given.filter((each) => each.startsWith('--')).map((each) => each.split('=')[0]!);
  const letters = new Set(
    given.filter((each) => !each.startsWith('--')).flatMap((each) => [...each.slice(1)]),
  );
  if (isLong)
    return letters.has(option[2]!) || long.some((each) => each.length > 3 && option.startsWith(each));
  const hasLetter = (letter: string) =>
    letters.has(letter) || long.some((each) => each[2]?.toLowerCase() === letter.toLowerCase());
  return [...option.slice(1)].every(hasLetter);
}

/** What a shell would not take literally; a text with one of these may do more than its words say. */
const OPERATORS = /[;|&$`<>()\n\r]/;

/** Whether a script holds anything but one simple command, quoted or not. */
export const hasOperators = (script: string): boolean => OPERATORS.test(script);

/** The script inside `/bin/bash -lc '…'`, the form in which codex runs commands; any other command as it is. */
export function scriptOf(command: string): string {
  const [words, ...more] = shellCommands(command) ?? [];
  const [shell, option, script] = words ?? [];
  const wraps = more.length === 0 && words?.length === 3 && SHELL.test(shell!) && /^-l?c$/.test(option!);
  return wraps ? script! : command;
}

/**
 * The simple commands of a script, each as its words without quotes. It splits where a shell may begin another
 * command, in double quotes too. Null when a quote does not close.
 */
export function shellCommands(script: string): string[][] | null {
  const commands: string[][] = [];
  let words: string[] = [];
  let word: string | null = null;
  let quote: '"' | "'" | null = null;
  /** Command substitutions that are open: what ends each, and the quote around it. */
  const nested: { end: string; quote: '"' | "'" | null }[] = [];
  const endWord = () => {
    if (word !== null) words.push(word);
    word = null;
  };
  const endCommand = () => {
    endWord();
    if (words.length > 0) commands.push(words);
    words = [];
  };
  for (let i = 0; i < script.length; i++) {
    const char = script[i]!;
    if (quote === "'" && char !== "'") word += char;
    else if (char === quote) quote = null;
    else if (quote === null && char === nested.at(-1)?.end) {
      endCommand();
      quote = nested.pop()!.quote;
    } else if (char === '`' || (char === '$' && script[i + 1] === '(')) {
      endCommand();
      nested.push({ end: char === '`' ? '`' : ')', quote });
      quote = null;
      if (char === '$') i++;
    } else if (char === '\\' && (quote === null || /[$`"\\\n]/.test(script[i + 1] ?? '')))
      word = (word ?? '') + (script[++i] ?? '');
    else if (quote === '"') word = (word ?? '') + char;
    else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (OPERATORS.test(char) && char !== '$') endCommand();
    else if (/\s/.test(char)) endWord();
    else word = (word ?? '') + char;
  }
  endCommand();
  return quote === null && nested.length === 0 ? commands : null;
}

const SHELL = /^(?:\/(?:usr\/)?(?:local\/)?bin\/)?(?:ba|z|da|k)?sh$/;

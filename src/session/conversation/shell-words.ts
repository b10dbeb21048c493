import { forEachChild, type SyntaxNode } from 'unbash';
import { parseShell } from '../../codex/parse-shell.js';
import { wordOf } from './shell/shell-word.js';

/** The script inside `/bin/bash -lc '…'`, the form in which codex runs commands; any other command as it is. */
export function scriptOf(command: string): string {
  const { commands, errors } = parseShell(command);
  const [only, ...more] = commands;
  if (errors?.length || more.length > 0 || only?.command.type !== 'Command') return command;
  const { name, prefix, args, redirects } = only.command;
  if (!name || prefix.length + redirects.length > 0 || args.length !== 2) return command;
  const [shell, option, script] = [name, ...args].map(wordOf);
  const wraps = !shell!.open && SHELL.test(shell!.text) && !option!.open && /^-l?c$/.test(option!.text);
  return wraps && !script!.open ? script!.text : command;
}

const SHELL = /^(?:\/(?:usr\/)?(?:local\/)?bin\/)?(?:ba|z|da|k)?sh$/;

/** The simple commands of a script, in nested ones too, each as its words without quotes. Null when it is no script. */
export function shellCommands(script: string): string[][] | null {
  const found: string[][] = [];
  const parsed = parseShell(script);
  let isOdd = false;
  const visit = (node: SyntaxNode): void => {
    if (node.type === 'Script' && 'errors' in node && node.errors?.length) isOdd = true;
    if (node.type === 'Command' && node.name)
      found.push([node.name, ...node.args].map((each) => wordOf(each).text));
    forEachChild(node, visit);
  };
  visit(parsed);
  return isOdd ? null : found;
}

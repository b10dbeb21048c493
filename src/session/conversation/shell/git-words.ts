import type { ShellWord } from './shell-word.js';

/** Settings of git that run nothing, given by `-c`. */
const HARMLESS = /^(?:user|color|init|advice|safe|pull|commit|log|column|i18n)\./i;
/** Subcommands that run what they are given or what a file says. */
const RUNS = new Set(['bisect', 'filter-branch', 'submodule', 'difftool', 'mergetool', 'alias']);

/** Whether a git command may run something that its words do not show as a command. */
export function isHiddenGit(operands: readonly ShellWord[]): boolean {
  return operands.some(({ text, open }, i) => {
    const before = operands[i - 1]?.text ?? '';
    if (before === '-c' || before === 'config') return open || !HARMLESS.test(text);
    if (/^(?:-c.|--config-env|--exec-path=|--upload-pack|--receive-pack|--exec|ext::)/.test(text))
      return true;
    if (text === '-x' && operands[0]?.text === 'rebase') return true;
    return i === 0 && !open && RUNS.has(text);
  });
}

import type { ShellWord } from './shell-word.js';

/** Settings of git that run nothing, given by `-c`. */
const HARMLESS = /^(?:user|color|init\.defaultbranch|advice|safe|pull|commit|log|column|i18n)(?:\.|=|$)/i;
/** Subcommands that run what they are given or what a file says. */
const RUNS = new Set([
  ...[
    'bisect',
    'filter-branch',
    'filter-repo',
    'submodule',
    'submodule--helper',
    'difftool',
    'mergetool',
    'alias',
  ],
  ...['for-each-repo', 'merge-index', 'send-email', 'instaweb', 'hook', 'p4', 'svn', 'daemon', 'web--browse'],
]);
/** Options of git itself that take the next word. */
const TAKES_WORD = new Set([
  '-C',
  '-c',
  '--git-dir',
  '--work-tree',
  '--namespace',
  '--config-env',
  '--attr-source',
]);
/** Options, of whichever subcommand, that name a program. They may be shortened. */
const RUN_OPTIONS = [
  ...['upload-pack', 'receive-pack', 'exec', 'exec-path', 'config-env', 'open-files-in-pager', 'extcmd'],
  ...['smtp-server', 'sendmail-cmd', 'to-cmd', 'cc-cmd', 'header-cmd'],
];
/** The same of one subcommand only. */
const OF_SUBCOMMAND: Readonly<Record<string, RegExp>> = {
  rebase: /^-[a-zA-Z]*x/,
  grep: /^-[a-zA-Z]*O/,
  // Hooks come from a template.
  clone: /^-[a-zA-Z]*u|^--(?:te|conf)/,
  init: /^--te/,
};

/** Whether a git command may run something that its words do not show as a command. */
export function isHiddenGit(operands: readonly ShellWord[]): boolean {
  const at = subcommandOf(operands);
  const subcommand = operands[at];
  if (subcommand && (subcommand.open || RUNS.has(subcommand.text))) return true;
  const own = subcommand && Object.hasOwn(OF_SUBCOMMAND, subcommand.text) && OF_SUBCOMMAND[subcommand.text];
  return operands.some(({ text, open }, i) => {
    const before = operands[i - 1]?.text ?? '';
    if ((before === '-c' && i <= at) || before === 'config') return open || !HARMLESS.test(text);
    if (before === '-c' && subcommand?.text === 'clone') return open || !HARMLESS.test(text);
    if (/^-c./.test(text) && i < at) return true;
    if (text.includes('ext::') || (own && own.test(text))) return true;
    return isRunOption(text);
  });
}

function isRunOption(text: string): boolean {
  const [, name] = /^--([a-z-]{2,})/.exec(text) ?? [];
  return (
    name !== undefined && !['to', 'cc'].includes(name) && RUN_OPTIONS.some((each) => each.startsWith(name))
  );
}

/** Where the subcommand stands, behind options of git itself. */
function subcommandOf(operands: readonly ShellWord[]): number {
  let at = 0;
  while (at < operands.length && operands[at]!.text.startsWith('-'))
    at += TAKES_WORD.has(operands[at]!.text) ? 2 : 1;
  return at;
}

import type { ShellWord } from './shell-word.js';

/** Of programs that otherwise take only data: words by which they run something. Long options may be shortened. */
const RUN_OPTIONS: Readonly<Record<string, RegExp>> = {
  sort: /^--co/,
  split: /^--f/,
  zip: /^-[a-zA-Z]*TT|^--unz/,
  rg: /^--(?:pre|hostname-bin)(?:=|$)/,
  fd: /^-[a-zA-Z0-9]*[xX]|^--exec/,
  ag: /^--pager/,
  less: /^\+|^-k|^--lesskey/,
  more: /^\+/,
  wget: /^-[a-zA-Z]*e|^--(?:use-a|ex|conf)/,
  apt: /^-[a-zA-Z]*[oc]|^--(?:opt|conf)/,
  'apt-get': /^-[a-zA-Z]*[oc]|^--(?:opt|conf)/,
  dpkg: /^--(?:pre-|post-|status-l)/,
  go: /^--?(?:exec|toolexec|vettool)|^-w$/,
  cargo: /^--config/,
  pip: /^--editor/,
  pip3: /^--editor/,
  npm: /^--(?:scr|sh|node-o|git|bro|vie|edi|userc|globalc|init-m)/,
  yarn: /^--(?:scr|sh|node-o|use-y)/,
  pnpm: /^--(?:scr|sh|node-o|userc|globalc)/,
  gh: /^(?:alias|ext|extensions?|--)$/,
};

/** Whether such a program is told to run something, or may be by a word that is known only when it runs. */
export function isToldToRun(name: string, operands: readonly ShellWord[]): boolean {
  const option = Object.hasOwn(RUN_OPTIONS, name) ? RUN_OPTIONS[name] : undefined;
  if (option === undefined) return false;
  const end = operands.findIndex(({ text, open }) => text === '--' && !open);
  const mayBeOptions = end === -1 ? operands : operands.slice(0, end);
  return (
    operands.some(({ text }) => option.test(text)) ||
    mayBeOptions.some(({ text, open }) => open && /^(?:-|\+|$)/.test(text))
  );
}

/** Where code may stand in a word of a program that nobody knows: all of it, behind a sign, behind a short option. */
export function partsThatMayRun(text: string): string[] {
  const parts = [text];
  for (const { index } of text.matchAll(/[=:,]/g)) parts.push(text.slice(index + 1));
  if (text.includes(',')) parts.push(text.slice(0, text.indexOf(',')));
  if (/^-[^-]/.test(text)) parts.push(text.slice(2), text.slice(3), text.slice(4));
  return [...new Set(parts)].filter((part) => part !== '').slice(0, MAX_PARTS);
}

const MAX_PARTS = 10;

/** A name of what a program reads, not of a file that is there to be looked at. */
export const isInput = (text: string): boolean =>
  /^(?:-|\/dev\/(?:stdin|fd\/.*)|\/proc\/.*\/fd\/.*)$/.test(text);

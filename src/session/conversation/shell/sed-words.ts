import type { ShellWord } from './shell-word.js';

/** Whether a sed runs a command (`e` and the flag `e` of GNU sed), or may. */
export function isSedThatRuns(operands: readonly ShellWord[]): boolean {
  const scripts: string[] = [];
  const others: string[] = [];
  for (let i = 0; i < operands.length; i++) {
    const { text, open } = operands[i]!;
    if (open && (text === '' || text.startsWith('-'))) return true;
    const next = operands[i + 1];
    const [, attached] = /^-[nErsuz]*e(.*)$/s.exec(text) ?? /^--exp[a-z]*=(.*)$/s.exec(text) ?? [];
    if (attached) scripts.push(attached);
    else if (attached === '' || /^--exp[a-z]*$/.test(text)) {
      if (!next || next.open) return true;
      scripts.push(next.text);
      i++;
    } else if (/^-[nErsuz]*(?:i.*)?$/s.test(text) && text !== '-') continue;
    else if (/^--(?!f)/.test(text)) continue;
    else if (text.startsWith('-') && text !== '-') return true;
    else if (open) return scripts.length + others.length === 0;
    else others.push(text);
  }
  return (scripts.length > 0 ? scripts : others.slice(0, 1)).some(runs);
}

const ADDRESS = /^(?:[\d$,~+!IM\s]|\/(?:\\.|[^\\/\n])*\/|\\([^\\\n])(?:(?!\1)[^\n])*\1)/;
const SUBSTITUTION = /^[sy](.)(?:\\.|(?!\1)[^\\])*\1(?:\\.|(?!\1)[^\\])*\1([a-zA-Z\d]*)/s;
/** Commands with all of the line for a text, a file or a label. */
const LINE = /^[aicrRwWbtT:#}][^\n]*/;
const LABEL = /^[btT]\s*[^;\n}]*/;

/** Whether a script holds such a command; what does not read as a script may. */
function runs(script: string): boolean {
  let rest = script;
  for (;;) {
    rest = rest.replace(/^[\s;{}]+/, '');
    for (let found = ADDRESS.exec(rest); found; found = ADDRESS.exec(rest))
      rest = rest.slice(found[0].length);
    rest = rest.replace(/^[\s{]+/, '');
    if (rest === '') return false;
    const [changed, , flags] = SUBSTITUTION.exec(rest) ?? [];
    if (changed !== undefined) {
      const file = flags!.indexOf('w');
      if ((file === -1 ? flags! : flags!.slice(0, file)).includes('e')) return true;
      rest = file === -1 ? rest.slice(changed.length) : rest.slice(changed.length).replace(/^[^\n]*/, '');
      continue;
    }
    const whole = LABEL.exec(rest) ?? LINE.exec(rest) ?? /^[pPdDgGhHxnN=lLqQzF]\s*\d*/.exec(rest);
    if (!whole) return true;
    rest = rest.slice(whole[0].length);
  }
}

import type { Command, SyntaxNode, Word } from 'unbash';
import { wordOf, type ShellWord } from './shell-word.js';

/**
 * What a script does with values that are not written in it. The shell runs substitutions in a value that it evaluates:
 * of `a[$(cmd)]`, wherever it was read from, an expression runs `cmd`.
 */
export interface ValueUse {
  /** Values come from outside: files, output of commands, names of files. */
  readonly takesIn: boolean;
  /** Values of variables are evaluated. */
  readonly evaluates: boolean;
}

/** What one node of a script does so; its children are asked for themselves. */
export function valueUse(node: SyntaxNode): ValueUse {
  switch (node.type) {
    case 'ArithmeticWord':
      return use(false, !/^(?:0x[\da-f]+|[\d#]+)$/i.test(node.value));
    case 'ArithmeticCommandExpansion':
      return use(true, true);
    case 'TestBinary':
      return use(
        false,
        /^-(?:eq|ne|lt|le|gt|ge)$/.test(node.operator) && [node.left, node.right].some(isNoNumber),
      );
    case 'TestUnary':
      return use(false, /^-[vR]$/.test(node.operator));
    case 'ParameterExpansion': {
      const { prefix, index, operation } = node;
      const isSliced =
        operation?.type === 'Slice' &&
        [operation.offset, operation.length].some((each) => each && isNoNumber(each));
      return use(false, prefix === '!' || isSliced || (index !== undefined && isNoIndex(index)));
    }
    case 'Assignment':
      return use(takesOutput(node.text), node.index !== undefined && isNoIndex(node.index));
    case 'For':
    case 'Select':
      return use(node.wordlist === undefined || node.wordlist.some(isOpenList), false);
    case 'Command':
      return ofCommand(node);
    default:
      return use(false, false);
  }
}

const use = (takesIn: boolean, evaluates: boolean): ValueUse => ({ takesIn, evaluates });
const isNoNumber = (word: Word): boolean => !/^\s*-?\d+$/.test(word.value);
const isNoIndex = (word: Word): boolean => !/^(?:[@*]|-?\d+)$/.test(word.value);
const isOpenList = (word: Word): boolean => wordOf(word).open && !/^\{[\w.,-]+\}$/.test(word.value);

/** `$(…)`, not `$((…))`. */
const takesOutput = (text: string): boolean => /\$\((?!\()|`|<\(/.test(text);

function ofCommand({ name, args }: Command): ValueUse {
  if (!name) return use(false, false);
  const words = [wordOf(name), ...args.map(wordOf)];
  const start = words.findIndex(({ text }) => text !== 'builtin' && text !== 'command');
  const [program, ...operands] = words.slice(Math.max(start, 0));
  switch (program?.text) {
    case 'set':
      return use(
        operands.some(({ open }) => open),
        false,
      );
    case 'read':
    case 'mapfile':
    case 'readarray':
    case 'getopts':
      return use(true, operands.some(isOddName));
    case 'unset':
      return use(false, operands.some(isOddName));
    case 'let':
      return use(
        false,
        operands.some(({ text, open }) => open || /[a-z_]/i.test(text)),
      );
    case 'declare':
    case 'typeset':
    case 'local':
    case 'readonly':
    case 'export':
      return use(
        false,
        operands.some((each) => isOddName(each) || /^[-+][a-zA-Z]*i/.test(each.text)),
      );
    case 'printf':
      return use(false, /^(?:-|$)/.test(operands[0]?.text ?? '-') && operands.slice(0, 2).some(isOddName));
    case 'test':
    case '[':
      return use(
        false,
        operands.some(({ text, many, open }) => (open && many) || text === '-v' || text === '-R'),
      );
    default:
      return use(false, false);
  }
}

/** A name that is known only when the script runs, or one with an index, which is evaluated. */
const isOddName = ({ text, open }: ShellWord): boolean =>
  (open && !/^\w+\+?=/.test(text)) || /^[^=]*\[(?!@\]|\*\]|\d+\])/.test(text);

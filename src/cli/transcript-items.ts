import type { CommandItem, FileChange, MessageItem, ViewItem } from '../view/index.js';
import { textOf } from '../view/fields.js';
import { printable, type Paint } from './output.js';

const MAX_OUTPUT_LINES = 20;

/** A completed item of a turn for people; empty for what only machines want. */
export function itemText(item: ViewItem, paint: Paint): string {
  switch (item.kind) {
    case 'message':
      return `${paint.cyan('›')} ${paint.bold(userText(item))}`;
    case 'command':
      return [`${paint.blue('$')} ${printable(item.command)}`, ...outputOf(item, paint)].join('\n');
    case 'fileChange':
      return item.changes.map((change) => changeLine(change, item.status, paint)).join('\n');
    case 'mcp':
      return printable(`⚙ ${item.server}.${item.tool}: ${item.status}`);
    case 'plan':
      return item.steps.length > 0 ? '' : printable(item.text);
    case 'other':
      if (item.type === 'webSearch') return printable(`⌕ ${textOf(item.item['query'])}`);
      return item.type === 'contextCompaction' ? paint.dim('— context compacted') : '';
    default:
      return '';
  }
}

const userText = ({ text, images }: MessageItem): string =>
  printable([text, ...images.map((image) => `[${image}]`)].join(' ')).replace(/\n/g, '\n  ');

function outputOf(item: CommandItem, paint: Paint): string[] {
  const lines = printable(item.output).trimEnd().split('\n');
  const shown = lines[0] === '' && lines.length === 1 ? [] : lines.slice(-MAX_OUTPUT_LINES);
  const hidden = lines.length - shown.length;
  return [
    ...(shown.length > 0 && hidden > 0 ? [paint.dim(`  … ${hidden} lines before`)] : []),
    ...shown.map((line) => `  ${paint.dim(line)}`),
    ...statusOf(item, paint),
  ];
}

function statusOf({ status, exitCode }: CommandItem, paint: Paint): string[] {
  if (status === 'completed' && (exitCode === 0 || exitCode === null)) return [];
  return [`  ${paint.red(exitCode !== null ? `exit code ${exitCode}` : printable(status))}`];
}

function changeLine({ path, change, movedTo }: FileChange, status: string, paint: Paint): string {
  const name = printable(path + (movedTo ? ` → ${movedTo}` : ''));
  const sign = change === 'add' ? '+' : change === 'delete' ? '-' : '~';
  return `${paint.blue(sign)} ${name}${status === 'completed' ? '' : ` ${paint.red(printable(status))}`}`;
}

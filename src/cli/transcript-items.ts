import { arrayOf, objectOf, textOf, type Fields } from './event-fields.js';
import { printable, type Paint } from './output.js';

const MAX_OUTPUT_LINES = 20;

/** A completed item of a turn for people; empty for what only machines want. */
export function itemText(item: Fields, paint: Paint): string {
  switch (item['type']) {
    case 'userMessage':
      return `${paint.cyan('›')} ${paint.bold(userText(item))}`;
    case 'commandExecution':
      return [`${paint.blue('$')} ${printable(textOf(item['command']))}`, ...outputOf(item, paint)].join(
        '\n',
      );
    case 'fileChange':
      return arrayOf(item['changes'])
        .map((change) => changeLine(objectOf(change), textOf(item['status']), paint))
        .join('\n');
    case 'mcpToolCall':
      return printable(`⚙ ${textOf(item['server'])}.${textOf(item['tool'])}: ${textOf(item['status'])}`);
    case 'webSearch':
      return printable(`⌕ ${textOf(item['query'])}`);
    case 'plan':
      return printable(textOf(item['text']));
    case 'contextCompaction':
      return paint.dim('— context compacted');
    default:
      return '';
  }
}

function userText(item: Fields): string {
  const parts = arrayOf(item['content']).map((part) => {
    const { type, text } = objectOf(part);
    return type === 'text' ? textOf(text) : `[${textOf(type)}]`;
  });
  return printable(parts.join(' ')).replace(/\n/g, '\n  ');
}

function outputOf(item: Fields, paint: Paint): string[] {
  const lines = printable(textOf(item['aggregatedOutput'])).trimEnd().split('\n');
  const shown = lines[0] === '' && lines.length === 1 ? [] : lines.slice(-MAX_OUTPUT_LINES);
  const hidden = lines.length - shown.length;
  return [
    ...(shown.length > 0 && hidden > 0 ? [paint.dim(`  … ${hidden} lines before`)] : []),
    ...shown.map((line) => `  ${paint.dim(line)}`),
    ...statusOf(item, paint),
  ];
}

function statusOf({ status, exitCode }: Fields, paint: Paint): string[] {
  if (status === 'completed' && (exitCode === 0 || exitCode === null)) return [];
  const code = textOf(exitCode);
  return [`  ${paint.red(code ? `exit code ${code}` : textOf(status))}`];
}

function changeLine(change: Fields, status: string, paint: Paint): string {
  const { type, move_path: moved } = objectOf(change['kind']);
  const path = printable(textOf(change['path']) + (textOf(moved) ? ` → ${textOf(moved)}` : ''));
  const sign = type === 'add' ? '+' : type === 'delete' ? '-' : '~';
  return `${paint.blue(sign)} ${path}${status === 'completed' ? '' : ` ${paint.red(status)}`}`;
}

import { describeRequest } from '../codex/requests.js';
import {
  createView,
  type MessageItem,
  type NoticeItem,
  type RequestItem,
  type ViewEvent,
  type ViewItem,
} from '../view/index.js';
import { objectOf, textOf } from '../view/fields.js';
import { printable, type Paint } from './output.js';
import { taskWord } from './shell-word.js';
import { itemText } from './transcript-items.js';

/** Turns the events of a task, one after the other, into what a person reads. */
export function createTranscript(taskId: string, paint: Paint): (event: ViewEvent) => string {
  const view = createView();
  /** The agent's message that stands unfinished on the last line. */
  let open: { key: string; text: string } | null = null;
  const closing = (): string => {
    const end = open ? '\n' : '';
    open = null;
    return end;
  };
  const block = (text: string): string => (text === '' ? '' : `${closing()}${text}\n`);

  return (event) => {
    const { items } = view.apply(event);
    const delta = textOf(objectOf(objectOf(event.event)['params'])['delta']);
    // A turn that ends cuts what is open of it: each item once, as it is now.
    return [...new Set(items)].map((place) => render(view.items[place]!, delta)).join('');
  };

  function render(item: ViewItem, delta: string): string {
    if (item.kind === 'message' && item.role === 'agent')
      return item.isOpen ? piece(item, delta) : whole(item);
    if (item.kind === 'request') return block(item.answer ? answerLine(item, paint) : requestText(item));
    return item.isOpen ? '' : block(lineOf(item));
  }

  function lineOf(item: ViewItem): string {
    if (item.kind === 'turn') return turnLine(item, paint);
    return item.kind === 'notice' ? noticeLine(item, paint) : itemText(item, paint);
  }

  function piece({ key }: MessageItem, delta: string): string {
    if (delta === '') return '';
    const begin = open?.key === key ? '' : closing();
    open = { key, text: (open?.text ?? '') + delta };
    return begin + printable(delta);
  }

  /** What the deltas did not bring; the whole when they were cut. */
  function whole({ key, text }: MessageItem): string {
    const shown = open?.key === key ? (open?.text ?? '') : '';
    if (shown === '' || !text.startsWith(shown)) return block(printable(text));
    open = null;
    return `${printable(text.slice(shown.length))}\n`;
  }

  function requestText({ method, input, changes, requestId }: RequestItem): string {
    const raw = changes.map(({ path, change, movedTo, diff }) => ({
      path,
      kind: { type: change, move_path: movedTo },
      diff,
    }));
    const described = describeRequest(method, input, raw.length > 0 ? raw : undefined);
    if (!described) return '';
    return [
      `${paint.yellow('?')} ${printable(described.summary)}`,
      ...changes.flatMap(({ diff }) => indented(diff, paint)),
      `    codex-task approve ${taskWord(taskId)} ${requestId}`,
      `    codex-task deny ${taskWord(taskId)} ${requestId}`,
    ].join('\n');
  }
}

const indented = (text: string, paint: Paint): string[] =>
  printable(text)
    .trimEnd()
    .split('\n')
    .map((line) => `    ${paint.dim(line)}`);

function answerLine({ answer }: RequestItem, paint: Paint): string {
  const by = answer?.decidedBy ? paint.dim(` by ${printable(answer.decidedBy)}`) : '';
  return answer?.behavior === 'allow' ? `${paint.green('✓ allowed')}${by}` : `${paint.red('✗ denied')}${by}`;
}

function turnLine({ status, error }: { status: string; error: string | null }, paint: Paint): string {
  const line = printable(`— turn ${status}${error ? `: ${error}` : ''}`);
  return status === 'completed' ? paint.dim(line) : paint.red(line);
}

function noticeLine({ name, level, text, event }: NoticeItem, paint: Paint): string {
  const say = (key: string) => printable(textOf(event[key]));
  switch (name) {
    case 'error': {
      const line = printable(`! ${text}`);
      return level === 'warning' ? paint.dim(line) : paint.red(line);
    }
    case 'x-optio-closed':
      return paint.bold(`■ ended: ${say('outcome') || say('reason')}`);
    case 'x-optio-gap':
      return paint.red(`! events ${say('from')} to ${say('to')} were lost with their host`);
    case 'x-optio-turn-timed-out':
      return paint.red('! the turn took too long and was interrupted');
    case 'x-optio-output-refused':
      return (level === 'warning' ? paint.yellow : paint.red)(printable(`! ${text}`));
    case 'x-optio-turn-rejected':
      return paint.red(`! codex refused the message: ${say('reason')}`);
    default:
      return '';
  }
}

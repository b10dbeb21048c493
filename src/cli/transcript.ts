import type { TaskEvent } from '../client/index.js';
import { describeRequest } from '../codex/requests.js';
import { arrayOf, objectOf, textOf, type Fields } from './event-fields.js';
import { printable, type Paint } from './output.js';
import { taskWord } from './shell-word.js';
import { itemText } from './transcript-items.js';

/** Turns the events of a task, one after the other, into what a person reads. */
export function createTranscript(taskId: string, paint: Paint): (event: Pick<TaskEvent, 'event'>) => string {
  /** The agent's message that stands unfinished on the last line. */
  let open: { itemId: string; text: string } | null = null;
  /** Changes of file change items: the request for approval names only the item. */
  const changes = new Map<string, unknown>();
  const closing = (): string => {
    const end = open ? '\n' : '';
    open = null;
    return end;
  };
  const block = (text: string): string => (text === '' ? '' : `${closing()}${text}\n`);

  return ({ event }) => render(objectOf(event));

  function render(event: Fields): string {
    const params = objectOf(event['params']);
    const item = objectOf(params['item']);
    switch (event['method'] ?? event['type']) {
      case 'item/agentMessage/delta':
        return delta(textOf(params['itemId']), textOf(params['delta']));
      case 'item/started':
        if (item['type'] === 'fileChange') changes.set(textOf(item['id']), item['changes']);
        return '';
      case 'item/completed':
        changes.delete(textOf(item['id']));
        return item['type'] === 'agentMessage' ? wholeMessage(item) : block(itemText(item, paint));
      case 'turn/completed':
        return block(turnLine(objectOf(params['turn']), paint));
      case 'error':
        return block(errorLine(params, paint));
      case 'x-optio-late':
        return render(objectOf(event['event']));
      default:
        return block(event['id'] === undefined ? ownEvent(event, paint) : request(event, params));
    }
  }

  function delta(itemId: string, text: string): string {
    const begin = open?.itemId === itemId ? '' : closing();
    open = { itemId, text: (open?.text ?? '') + text };
    return begin + printable(text);
  }

  /** What the deltas did not bring; the whole when they were cut. */
  function wholeMessage(item: Fields): string {
    const text = textOf(item['text']);
    const shown = open?.itemId === item['id'] ? (open?.text ?? '') : '';
    if (shown === '' || !text.startsWith(shown)) return block(printable(text));
    open = null;
    return `${printable(text.slice(shown.length))}\n`;
  }

  function request(event: Fields, params: Fields): string {
    const described = describeRequest(textOf(event['method']), params, changes.get(textOf(params['itemId'])));
    if (!described) return '';
    const id = String(event['id']);
    const diffs = arrayOf(described.input['changes']).map((change) => textOf(objectOf(change)['diff']));
    return [
      `${paint.yellow('?')} ${printable(described.summary)}`,
      ...diffs.flatMap((diff) => indented(diff, paint)),
      `    codex-task approve ${taskWord(taskId)} ${id}`,
      `    codex-task deny ${taskWord(taskId)} ${id}`,
    ].join('\n');
  }
}

const indented = (text: string, paint: Paint): string[] =>
  printable(text)
    .trimEnd()
    .split('\n')
    .map((line) => `    ${paint.dim(line)}`);

function errorLine(params: Fields, paint: Paint): string {
  const line = printable(`! ${textOf(objectOf(params['error'])['message'])}`);
  return params['willRetry'] === true ? paint.dim(line) : paint.red(line);
}

function turnLine(turn: Fields, paint: Paint): string {
  const status = textOf(turn['status']);
  const message = textOf(objectOf(turn['error'])['message']);
  const line = printable(`— turn ${status}${message ? `: ${message}` : ''}`);
  return status === 'completed' ? paint.dim(line) : paint.red(line);
}

function ownEvent(event: Fields, paint: Paint): string {
  const say = (key: string) => printable(textOf(event[key]));
  switch (event['type']) {
    case 'x-optio-permission-answered': {
      const by = say('decidedBy') ? paint.dim(` by ${say('decidedBy')}`) : '';
      return say('behavior') === 'allow'
        ? `${paint.green('✓ allowed')}${by}`
        : `${paint.red('✗ denied')}${by}`;
    }
    case 'x-optio-closed':
      return paint.bold(`■ ended: ${say('outcome') || say('reason')}`);
    case 'x-optio-gap':
      return paint.red(
        `! events ${textOf(event['from'])} to ${textOf(event['to'])} were lost with their host`,
      );
    case 'x-optio-turn-timed-out':
      return paint.red('! the turn took too long and was interrupted');
    case 'x-optio-turn-rejected':
      return paint.red(`! codex refused the message: ${say('reason')}`);
    default:
      return '';
  }
}

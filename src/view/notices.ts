import { objectOf, textOf, type Fields } from './fields.js';
import type { NoticeItem } from './types.js';

type Told = Pick<NoticeItem, 'level' | 'text'>;

const info = (text: string): Told => ({ level: 'info', text });
const warning = (text: string): Told => ({ level: 'warning', text });
const error = (text: string): Told => ({ level: 'error', text });

/** What events are notices, and what they say; those not named here are none. */
const NOTICES = new Map<string, (event: Fields) => Told>([
  ['x-optio-warning', ({ message }) => warning(textOf(message))],
  ['x-optio-credential', ({ message }) => warning(textOf(message))],
  ['x-optio-recovering', ({ reason }) => warning(`Codex is started again: ${textOf(reason)}`)],
  ['x-optio-parked', ({ until }) => info(`The account is out of quota until ${textOf(until)}`)],
  ['x-optio-unparked', () => info('There is quota again')],
  ['x-optio-turn-timed-out', () => error('The turn took too long and was interrupted')],
  ['x-optio-turn-rejected', ({ reason }) => error(`Codex refused the message: ${textOf(reason)}`)],
  [
    'x-optio-output-refused',
    ({ faults, willRetry }) => {
      const listed = Array.isArray(faults) ? faults.map(textOf).join('; ') : '';
      const text = `The answer does not fit its schema: ${listed}`;
      return willRetry === true ? warning(text) : error(text);
    },
  ],
  ['x-optio-message-rejected', ({ reason }) => error(`The message could not be sent: ${textOf(reason)}`)],
  ['x-optio-model-family', ({ to }) => info(`The model changes to ${textOf(to)}: the thread is compacted`)],
  ['x-optio-attention', ({ reason }) => warning(textOf(reason))],
  ['x-optio-browser', ({ url }) => info(`Open ${textOf(url)}`)],
  ['x-optio-deliverable', ({ path }) => info(`Delivered ${textOf(path)}`)],
  ['x-optio-deliverable-refused', ({ path, reason }) => warning(`${textOf(path)}: ${textOf(reason)}`)],
  ['x-optio-done', ({ text }) => info(textOf(text) || 'The agent is done')],
  ['x-optio-error', ({ text }) => error(textOf(text) || 'The agent gave up')],
  ['x-optio-client-message', ({ keyword }) => info(textOf(keyword))],
  ['x-optio-caller-message', ({ keyword }) => info(textOf(keyword))],
  ['x-optio-log-dropped', ({ lines }) => warning(`${textOf(lines)} lines of the agent’s log were left out`)],
  ['x-optio-unsupported', ({ method }) => warning(`Codex asked for ${textOf(method)}, which was refused`)],
  ['x-optio-unparseable', () => warning('Codex wrote a line that is no message')],
  ['x-optio-closed', ({ outcome, reason }) => info(`Ended: ${textOf(outcome) || textOf(reason)}`)],
  ['x-optio-gap', ({ from, to }) => error(`Events ${textOf(from)} to ${textOf(to)} are not in the stream`)],
  [
    'error',
    ({ params }) => {
      const { error: failure, willRetry } = objectOf(params);
      const text = textOf(objectOf(failure)['message']);
      return willRetry === true ? warning(text) : error(text);
    },
  ],
  ['warning', ({ params }) => warning(textOf(objectOf(params)['message']))],
  ['configWarning', ({ params }) => warning(textOf(objectOf(params)['summary']))],
  ['model/rerouted', ({ params }) => info(`The model is now ${textOf(objectOf(params)['toModel'])}`)],
]);

/** What an event says that people should know; null: nothing. */
export const noticeOf = (name: string, event: Fields): Told | null => NOTICES.get(name)?.(event) ?? null;

import type { OwnEvent } from '../../contract/events.js';
import type { Control } from '../../contract/status.js';
import {
  anything,
  isFields,
  listOf,
  maybe,
  number,
  oneOf,
  orNull,
  shape,
  tagged,
  text,
  truth,
  type Check,
} from './fields.js';

const line = number;
const control = tagged('id', {
  model: shape({
    label: text,
    value: orNull(text),
    disabled: truth,
    whyDisabled: maybe(text),
    options: listOf(shape({ value: text, label: text, disabled: truth })),
  }),
  reasoning_effort: shape({ label: text, value: orNull(text), levels: listOf(text) }),
} satisfies Record<Control['id'], Check>);

/** What each event of ours holds besides its type; `isNotification` is for the one that is late. */
export const ownChecks = (isNotification: Check): Record<OwnEvent['type'], Check> => ({
  'x-optio-permission-answered': shape({
    request_id: text,
    behavior: oneOf('allow', 'deny'),
    decidedBy: text,
  }),
  'x-optio-control-update': shape({ controls: listOf(control) }),
  'x-optio-model-family': shape({
    from: orNull(text),
    to: orNull(text),
    fromFamily: text,
    toFamily: text,
    compacts: truth,
  }),
  'x-optio-recovering': shape({ reason: text }),
  'x-optio-turn-timed-out': shape({ turnId: orNull(text), threadId: maybe(text), afterMs: number }),
  'x-optio-turn-rejected': shape({ messageId: text, reason: text }),
  'x-optio-message-rejected': shape({ messageId: text, reason: text }),
  'x-optio-output-refused': shape({
    turnId: text,
    attempt: number,
    faults: listOf(text),
    willRetry: truth,
  }),
  'x-optio-late': shape({ event: isNotification }),
  'x-optio-gap': shape({ from: number, to: number }),
  'x-optio-status': shape({ line, percent: orNull(number), text }),
  'x-optio-log': shape({ line, text }),
  'x-optio-deliverable': shape({
    line,
    path: text,
    bytes: number,
    sha256: text,
    contentType: text,
    blobId: text,
  }),
  'x-optio-deliverable-refused': shape({ line, path: text, reason: text }),
  'x-optio-browser': shape({ line, url: text }),
  'x-optio-attention': shape({ line, reason: text }),
  'x-optio-client-message': shape({ line, keyword: text }),
  'x-optio-caller-message': shape({ line, keyword: text }),
  'x-optio-done': shape({ line, text: orNull(text) }),
  'x-optio-error': shape({ line, text: orNull(text) }),
  'x-optio-log-dropped': shape({ line, lines: number }),
  'x-optio-warning': shape({ message: text }),
  'x-optio-unsupported': shape({ method: text }),
  'x-optio-unparseable': shape({ line: text, characters: maybe(number) }),
  'x-optio-credential': shape({ kind: text, message: text, quarantineId: maybe(text) }),
  'x-optio-parked': shape({ until: text }),
  'x-optio-unparked': anything,
  'x-optio-closed': shape({ reason: text, outcome: text, dropped: maybe(listOf(text)) }),
});

/** The marks of a notification are there or absent. */
export const hasMarks: Check = (event) =>
  isFields(event) &&
  MARKS.every((mark) => event[mark] === undefined || event[mark] === true) &&
  maybe(number)(event['emittedAtMs']) &&
  maybe(number)(event['x-optio-at']);
const MARKS = ['x-optio-history', 'x-optio-caught-up', 'x-optio-cut'];

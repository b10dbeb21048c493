import type { Asked } from './chaos-model.js';

export interface Seen {
  id: number;
  event: Record<string, unknown>;
}

/** @param attempt counts from 0: what was rejected is sent again under another id */
export const messageIdOf = ({ taskId, message }: Pick<Asked, 'taskId' | 'message'>, attempt = 0): string =>
  attempt === 0 ? `${taskId}-m${message}` : `${taskId}-m${message}-${attempt}`;

/** The newest request that is open by the events, and not decided yet by this client. */
export function openRequest(events: readonly Seen[], allowed: readonly string[]): string | undefined {
  const answered = new Set(answeredRequests(events));
  return askedRequests(events).find((id) => !answered.has(id) && !allowed.includes(id));
}

export const askedRequests = (events: readonly Seen[]): string[] =>
  fields(events, ({ method }) => method === 'item/commandExecution/requestApproval', 'id');

export const answeredRequests = (events: readonly Seen[]): string[] =>
  fields(events, ({ type }) => type === 'x-optio-permission-answered', 'request_id');

function fields(
  events: readonly Seen[],
  which: (event: Record<string, unknown>) => boolean,
  field: string,
): string[] {
  return events.filter(({ event }) => which(event)).map(({ event }) => String(event[field]));
}

interface Turn {
  id: string;
  status: string;
  error?: { codexErrorInfo?: unknown } | null;
}

/** Turns that ended in this way with this message in them; a task does those again by itself that meet a usage limit. */
export function turnsOf(events: readonly Seen[], messageId: string, how = 'completed'): string[] {
  const withMessage = new Set(
    events
      .filter(({ event }) => event['method'] === 'item/completed' || event['method'] === 'item/started')
      .map(({ event }) => event['params'] as { turnId: string; item: { type: string; clientId?: string } })
      .filter(({ item }) => item.type === 'userMessage' && item.clientId === messageId)
      .map(({ turnId }) => turnId),
  );
  return events
    .filter(({ event }) => event['method'] === 'turn/completed')
    .map(({ event }) => (event['params'] as { turn: Turn }).turn)
    .filter((turn) => turn.status === how && withMessage.has(turn.id) && !isLimited(turn))
    .map(({ id }) => id);
}

/** How many turns a usage limit ended. */
export const limitedTurns = (events: readonly Seen[]): number =>
  events.filter(
    ({ event }) =>
      event['method'] === 'turn/completed' && isLimited((event['params'] as { turn: Turn }).turn),
  ).length;

const isLimited = ({ error }: Turn): boolean => error?.codexErrorInfo === 'usageLimitExceeded';

/** Whether a message came to nothing, and is said to: it was never begun, or its turn failed. */
export const isSetBack = (events: readonly Seen[], messageId: string): boolean =>
  turnsOf(events, messageId, 'failed').length > 0 ||
  events.some(({ event }) => event['type'] === 'x-optio-turn-rejected' && event['messageId'] === messageId);

/** Whether any event holds the message: it was given to codex, whatever became of the turn. */
export const isGiven = (events: readonly Seen[], messageId: string): boolean =>
  events.some(({ event }) => {
    const item = (event['params'] as { item?: { type: string; clientId?: string } } | undefined)?.item;
    return item?.type === 'userMessage' && item.clientId === messageId;
  });

export const hasEnded = (events: readonly Seen[], messageId: string): boolean =>
  turnsOf(events, messageId).length > 0;

export function agentMessages(events: readonly Seen[]): string[] {
  return events
    .filter(({ event }) => event['method'] === 'item/completed')
    .map(({ event }) => (event['params'] as { item: { type: string; text?: string } }).item)
    .filter(({ type }) => type === 'agentMessage')
    .map(({ text }) => text ?? '');
}

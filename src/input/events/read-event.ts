import type { NamedEvent } from '../../contract/events.js';
import { NOTIFICATIONS, REQUESTS } from './codex.js';
import { isFields, maybe, number, text, type Check, type Fields } from './fields.js';
import { hasMarks, ownChecks } from './own.js';

/**
 * An event of a task's stream with its name, when it has what its kind has; otherwise under the name `unknown`, as it
 * came. Never throws.
 */
export function readEvent(event: Fields): NamedEvent {
  const name = nameOf(event);
  // Each name is checked against the type that it stands for.
  return { name: name ?? 'unknown', event } as NamedEvent;
}

const isNotification: Check = (event) =>
  isFields(event) &&
  typeof event['method'] === 'string' &&
  event['id'] === undefined &&
  event['type'] === undefined &&
  holds(NOTIFICATION_CHECKS, event['method'], event['params']) &&
  hasMarks(event);

/** Events of earlier versions have none. */
const isTime = maybe(number);
const NOTIFICATION_CHECKS = new Map(Object.entries(NOTIFICATIONS));
const REQUEST_CHECKS = new Map(Object.entries(REQUESTS));
const OWN_CHECKS = new Map(Object.entries(ownChecks(isNotification)));

function nameOf(event: Fields): string | null {
  const { type, method, id, params } = event;
  const name = type === undefined ? method : type;
  if (typeof name !== 'string') return null;
  if (type !== undefined) return holds(OWN_CHECKS, name, event) && isTime(event['at']) ? name : null;
  if (id === undefined) return isNotification(event) ? name : null;
  return text(id) && holds(REQUEST_CHECKS, name, params) && isTime(event['x-optio-at']) ? name : null;
}

const holds = (checks: ReadonlyMap<string, Check>, name: string, value: unknown): boolean =>
  checks.get(name)?.(value) ?? false;

import type { OwnEvent } from '../contract/index.js';
import type { Journal } from './journal.js';

/** A request of Codex under the id that it has in its task. */
export interface RequestEvent {
  readonly method: string;
  readonly id: string;
  readonly params: Record<string, unknown>;
}

/** Appends an event of ours or a request of Codex with the time of now, and returns the event's id. */
export const appendEvent = (journal: Pick<Journal, 'append'>, event: OwnEvent | RequestEvent): number =>
  journal.append(JSON.stringify({ ...event, ['type' in event ? 'at' : 'x-optio-at']: Date.now() }));

import type { CodexRequest, OwnEvent } from '../contract/index.js';
import type { Journal } from './journal.js';

/** Appends an event of ours, or a request of Codex under the id that it has in its task, and returns the event's id. */
export const appendEvent = (journal: Pick<Journal, 'append'>, event: OwnEvent | CodexRequest): number =>
  journal.append(JSON.stringify(event));

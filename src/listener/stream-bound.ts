import type { ServerResponse } from 'node:http';
import type { Journal } from '../journal/journal.js';

/** Streams of one task at a time: each holds a connection, and what a slow client has not taken yet. */
const MOST = 500;

const open = new WeakMap<Pick<Journal, 'read'>, Set<ServerResponse>>();

/**
 * Makes room for one more stream of a task, which is never refused: above the limit one that reads nothing is closed,
 * or the oldest. Its client reconnects and gets what it missed.
 */
export function boundStreams(journal: Pick<Journal, 'read'>, response: ServerResponse, most = MOST): void {
  const streams = open.get(journal) ?? new Set();
  open.set(journal, streams);
  streams.add(response);
  response.once('close', () => streams.delete(response));
  if (streams.size <= most) return;
  const isStuck = ({ socket }: ServerResponse) => socket?.writableNeedDrain === true;
  const [oldest] = streams;
  ([...streams].find(isStuck) ?? oldest)?.destroy();
}

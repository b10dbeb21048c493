import type { Journal } from './journal.js';

const CLOSED = 'x-optio-closed';

/** Whether the newest event of a journal is the last one of its task. @throws what the disk says */
export async function isClosed(journal: Pick<Journal, 'lastId' | 'read'>): Promise<boolean> {
  const frames = await journal.read(Math.max(0, journal.lastId - 1), 1);
  // Most events are not, and may be large.
  if (!frames?.bytes.includes(CLOSED)) return false;
  const [, json] = /^data: (.*)$/m.exec(frames.bytes.toString('utf8')) ?? [];
  return json !== undefined && (JSON.parse(json) as { type?: unknown }).type === CLOSED;
}

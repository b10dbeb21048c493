import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Frames, Journal } from '../session/journal.js';

const PING_MS = 15_000;
const READ_BYTES = 256 * 1024;

/** Id after which a client wants events; 0: from the first. Anything but digits, or above the newest, is 0. */
export function lastEventId(request: IncomingMessage, journal: Journal): number {
  const header = request.headers['last-event-id'];
  const id = typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : 0;
  return id > journal.lastId ? 0 : id;
}

/**
 * Sends every event after `afterId` and then the live ones, until the client leaves or the journal ends. A
 * client that reads slowly is fed from the journal at its own pace; nothing is queued for it.
 */
export function streamEvents(response: ServerResponse, journal: Journal, afterId: number): void {
  let cursor = afterId;
  let feeding = false;
  let left = false;

  response.writeHead(200, {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-cache',
    'X-Accel-Buffering': 'no',
  });
  response.flushHeaders();
  const ping = setInterval(() => {
    if (!response.writableNeedDrain) response.write(': ping\n\n');
  }, PING_MS);

  function send({ bytes, lastId }: Frames): void {
    cursor = lastId;
    ping.refresh();
    response.write(bytes);
  }

  async function feed(): Promise<void> {
    if (feeding) return;
    feeding = true;
    try {
      while (!left && !response.writableNeedDrain) {
        const frames = await journal.read(cursor, READ_BYTES);
        if (left) break;
        if (frames) send(frames);
        else if (journal.ended) response.end(leave);
        else break;
        if (!frames) break;
      }
    } catch {
      response.destroy();
    } finally {
      feeding = false;
    }
    // A batch that came while the last read was empty.
    if (!left && cursor < journal.lastId && !response.writableNeedDrain) void feed();
  }

  const offBatch = journal.onBatch((batch) => {
    if (feeding || response.writableNeedDrain) return;
    if (batch.firstId === cursor + 1) send(batch);
    else void feed();
  });
  const offEnd = journal.onEnd(() => void feed());
  function leave(): void {
    left = true;
    clearInterval(ping);
    offBatch();
    offEnd();
  }
  response.on('drain', () => void feed());
  response.on('close', leave);
  void feed();
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Frames, Journal } from '../journal/journal.js';
import { chunkOf } from './chunk-of.js';
import type { Counts } from './metrics.js';
import { readShared, type SharedFrames } from './shared-reads.js';

const PING_MS = 15_000;
/** The most that is read for one subscriber at once; also what a slow one holds in memory, plus one batch. */
const READ_BYTES = 128 * 1024;
/** The first read: a usual replay goes out at once. */
const FIRST_READ_BYTES = 512 * 1024;

export interface StreamOptions {
  /** Milliseconds without an event after which a comment keeps the connection alive. */
  readonly pingMs?: number;
  /** Streams of one task at a time. */
  readonly most?: number;
  readonly counts?: Counts;
}

/** Id after which a client wants events; 0: from the first. Anything but digits, or above the newest, is 0. */
export function lastEventId(request: IncomingMessage, journal: Pick<Journal, 'shownId'>): number {
  const header = request.headers['last-event-id'];
  const id = typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : 0;
  return id > journal.shownId ? 0 : id;
}

/**
 * Sends every event after `afterId` and then the live ones, until the client leaves or the journal ends. A
 * client that reads slowly is fed from the journal at its own pace; nothing is queued for it.
 */
export function streamEvents(
  response: ServerResponse,
  journal: Journal,
  afterId: number,
  { pingMs = PING_MS, counts }: StreamOptions = {},
): void {
  response.writeHead(200, HEAD);
  if (response.req.method === 'HEAD') return void response.end();
  response.flushHeaders();
  // Null while an earlier response is still under way on the same connection.
  const { socket } = response;
  const out = socket ?? response;
  let cursor = afterId;
  let feeding = false;
  let sentAt = performance.now();
  let readBytes = FIRST_READ_BYTES;
  let left = false;

  /** Writes to the socket directly: the chunk is encoded once for all subscribers. */
  const write = (frames: Frames) => {
    if (socket) socket.write(response.chunkedEncoding ? chunkOf(frames) : frames.bytes);
    else response.write(frames.bytes);
  };
  const send = (frames: Frames) => {
    cursor = frames.lastId;
    sentAt = performance.now();
    write(frames);
  };

  /** What the connection has not taken yet. */
  let held: SharedFrames | null = null;
  const letGo = () => {
    held?.release();
    held = null;
  };

  async function feed(): Promise<void> {
    if (feeding) return;
    feeding = true;
    try {
      while (!left && !out.writableNeedDrain) {
        const shared = await readShared(journal, cursor, readBytes, journal.shownId);
        const { frames } = shared;
        readBytes = READ_BYTES;
        if (frames && !left) send(frames);
        letGo();
        if (!left && out.writableNeedDrain) held = shared;
        else shared.release();
        if (left) break;
        if (frames) continue;
        if (!journal.ended) break;
        // Events that may not be shown yet are shown by the host that has the task next.
        if (cursor >= journal.shownId) return void response.end();
      }
    } catch {
      response.destroy();
    } finally {
      feeding = false;
    }
    // A batch that came while the last read was empty.
    if (!left && cursor < journal.shownId && !out.writableNeedDrain) void feed();
  }

  // One timer that looks back: to set it again costs more than an event's own delivery.
  let ping = setTimeout(keepAlive, pingMs);
  function keepAlive(): void {
    const quietMs = performance.now() - sentAt;
    const isDue = quietMs >= pingMs - 1;
    if (isDue) sentAt = performance.now();
    if (isDue && !out.writableNeedDrain) write(PING);
    ping = setTimeout(keepAlive, isDue ? pingMs : pingMs - quietMs);
  }
  const unfollow = journal.follow({
    onBatch(batch) {
      if (feeding || out.writableNeedDrain) return;
      if (batch.firstId === cursor + 1) send(batch);
      else void feed();
    },
    onEnd: () => void feed(),
    onCut: () => response.destroy(),
  });
  if (counts) counts.subscribers++;
  const onDrain = () => {
    letGo();
    void feed();
  };
  out.on('drain', onDrain);
  const leave = () => {
    if (left) return;
    left = true;
    letGo();
    clearTimeout(ping);
    unfollow();
    if (counts) counts.subscribers--;
    out.off('drain', onDrain);
  };
  response.on('close', leave);
  response.on('finish', leave);
  if (response.destroyed) leave();
  void feed();
}

const HEAD = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache',
  'X-Accel-Buffering': 'no',
};

const PING: Frames = { firstId: 0, lastId: 0, bytes: Buffer.from(': ping\n\n') };

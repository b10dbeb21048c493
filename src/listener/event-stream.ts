import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
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
  new EventStream(response, journal, afterId, pingMs, counts).begin();
}

class EventStream {
  readonly #socket: Socket | null;
  readonly #out: Socket | ServerResponse;
  /** The newest event that was sent. */
  #cursor: number;
  #isFeeding = false;
  #sentAt = performance.now();
  #readBytes = FIRST_READ_BYTES;
  #hasLeft = false;
  /** What the connection has not taken yet. */
  #held: SharedFrames | null = null;
  #ping: NodeJS.Timeout | undefined;
  #unfollow: () => void = () => undefined;

  constructor(
    private readonly response: ServerResponse,
    private readonly journal: Journal,
    afterId: number,
    private readonly pingMs: number,
    private readonly counts: Counts | undefined,
  ) {
    this.#cursor = afterId;
    // Null while an earlier response is still under way on the same connection.
    this.#socket = response.socket;
    this.#out = response.socket ?? response;
  }

  begin(): void {
    const { response, counts } = this;
    // One timer that looks back: to set it again costs more than an event's own delivery.
    this.#ping = setTimeout(this.#keepAlive, this.pingMs);
    this.#unfollow = this.journal.follow({
      onBatch: (batch) => {
        if (this.#isFeeding || this.#out.writableNeedDrain) return;
        if (batch.firstId === this.#cursor + 1) this.#send(batch);
        else void this.#feed();
      },
      onEnd: () => void this.#feed(),
      onCut: () => response.destroy(),
    });
    if (counts) counts.subscribers++;
    this.#out.on('drain', this.#onDrain);
    response.on('close', this.#leave);
    response.on('finish', this.#leave);
    if (response.destroyed) this.#leave();
    void this.#feed();
  }

  readonly #keepAlive = (): void => {
    const { pingMs } = this;
    const quietMs = performance.now() - this.#sentAt;
    const isDue = quietMs >= pingMs - 1;
    if (isDue) this.#sentAt = performance.now();
    if (isDue && !this.#out.writableNeedDrain) this.#write(PING);
    this.#ping = setTimeout(this.#keepAlive, isDue ? pingMs : pingMs - quietMs);
  };

  readonly #onDrain = (): void => {
    this.#letGo();
    void this.#feed();
  };

  readonly #leave = (): void => {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    this.#letGo();
    clearTimeout(this.#ping);
    this.#unfollow();
    if (this.counts) this.counts.subscribers--;
    this.#out.off('drain', this.#onDrain);
  };

  async #feed(): Promise<void> {
    if (this.#isFeeding) return;
    const { journal, response } = this;
    const out = this.#out;
    this.#isFeeding = true;
    try {
      while (!this.#hasLeft && !out.writableNeedDrain) {
        const shared = await readShared(journal, this.#cursor, this.#readBytes, journal.shownId);
        const { frames } = shared;
        this.#readBytes = READ_BYTES;
        if (frames && !this.#hasLeft) this.#send(frames);
        this.#letGo();
        if (!this.#hasLeft && out.writableNeedDrain) this.#held = shared;
        else shared.release();
        if (this.#hasLeft) break;
        if (frames) continue;
        if (!journal.ended) break;
        // Events that may not be shown yet are shown by the host that has the task next.
        if (this.#cursor >= journal.shownId) return void response.end();
      }
    } catch {
      response.destroy();
    } finally {
      this.#isFeeding = false;
    }
    // A batch that came while the last read was empty.
    if (!this.#hasLeft && this.#cursor < journal.shownId && !out.writableNeedDrain) void this.#feed();
  }

  #send(frames: Frames): void {
    this.#cursor = frames.lastId;
    this.#sentAt = performance.now();
    this.#write(frames);
  }

  /** Writes to the socket directly: the chunk is encoded once for all subscribers. */
  #write(frames: Frames): void {
    const { response } = this;
    if (this.#socket) this.#socket.write(response.chunkedEncoding ? chunkOf(frames) : frames.bytes);
    else response.write(frames.bytes);
  }

  #letGo(): void {
    this.#held?.release();
    this.#held = null;
  }
}

const HEAD = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache',
  'X-Accel-Buffering': 'no',
};

const PING: Frames = { firstId: 0, lastId: 0, bytes: Buffer.from(': ping\n\n') };

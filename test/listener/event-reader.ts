import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { until } from '../support/until.js';
import type { ServedTask } from './serve-task.js';

export interface ReadEvent {
  readonly id: number;
  readonly data: Record<string, unknown>;
}

/** One subscriber on a raw socket: what came, byte for byte. */
export interface EventReader {
  readonly socket: Socket;
  /** Status line and headers, once they came. */
  head(): Promise<string>;
  /** Body so far, without the chunked encoding. */
  text(): string;
  events(): ReadEvent[];
  /** Resolves with the events when there are `count` of them. */
  take(count: number): Promise<ReadEvent[]>;
  /** Whether the body has its regular end. */
  ended(): boolean;
  closed(): boolean;
}

export interface ReaderOptions {
  readonly lastEventId?: number | string;
  readonly version?: '1.0' | '1.1';
  readonly method?: string;
}

/** Subscribes to a task's events. */
export function readEvents(
  { url, auth }: Pick<ServedTask, 'url' | 'auth'>,
  { lastEventId, version = '1.1', method = 'GET' }: ReaderOptions = {},
): EventReader {
  const { hostname, port, pathname } = new URL(url);
  const socket = connect(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  const body = new Body();
  let closed = false;
  socket.on('data', (bytes) => body.add(bytes));
  socket.on('close', () => (closed = true));
  socket.on('error', () => undefined);
  const lines = [
    `${method} ${pathname}/events HTTP/${version}`,
    `Host: x`,
    `Authorization: ${auth.authorization}`,
  ];
  if (lastEventId !== undefined) lines.push(`Last-Event-ID: ${lastEventId}`);
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  const reader: EventReader = {
    socket,
    head: () => until('a response', () => body.head),
    text: () => body.text,
    events: () => body.events,
    take: (count) => until(`${count} events`, () => body.events.length >= count && body.events),
    ended: () => body.ended,
    closed: () => closed,
  };
  return reader;
}

/** A response as it comes, decoded as far as it is there. What was decoded is not looked at again. */
class Body {
  head: string | null = null;
  ended = false;
  readonly events: ReadEvent[] = [];
  private raw = Buffer.alloc(0);
  private readonly texts: string[] = [];
  private unparsed = '';

  get text(): string {
    return this.texts.join('');
  }

  add(bytes: Buffer): void {
    this.raw = Buffer.concat([this.raw, bytes]);
    if (this.head === null) {
      const end = this.raw.indexOf('\r\n\r\n');
      if (end === -1) return;
      this.head = this.raw.toString('latin1', 0, end);
      this.raw = this.raw.subarray(end + 4);
    }
    if (/transfer-encoding: chunked/i.test(this.head)) this.takeChunks();
    else {
      this.takeText(this.raw.toString('utf8'));
      this.raw = Buffer.alloc(0);
    }
  }

  private takeChunks(): void {
    for (;;) {
      const end = this.raw.indexOf('\r\n');
      if (end === -1) return;
      const size = parseInt(this.raw.toString('latin1', 0, end), 16);
      if (this.raw.length < end + 2 + size + 2) return;
      if (size === 0) this.ended = true;
      this.takeText(this.raw.toString('utf8', end + 2, end + 2 + size));
      this.raw = this.raw.subarray(end + 2 + size + 2);
    }
  }

  private takeText(text: string): void {
    this.texts.push(text);
    const frames = (this.unparsed + text).split('\n\n');
    this.unparsed = frames.pop()!;
    for (const frame of frames) {
      const [, id, data] = /^id: (\d+)\ndata: (.*)$/.exec(frame) ?? [];
      if (data !== undefined)
        this.events.push({ id: Number(id), data: JSON.parse(data) as ReadEvent['data'] });
    }
  }
}

/** The numbers that `append` gave these events. */
export const numbers = (events: readonly ReadEvent[]): unknown[] => events.map(({ data }) => data['n']);

import type { IncomingMessage } from 'node:http';
import { Refusal } from './answer.js';

/** A body may take as long as it takes; one of which nothing comes for so long is refused. */
const SILENT_MS = 60_000;

const silent = () => new Refusal(408, 'timeout', { Connection: 'close' });

/** The pieces of a body. @throws Refusal 408 `timeout` when the next one does not come */
export function piecesOf(
  req: Pick<IncomingMessage, 'iterator'>,
  silentMs = SILENT_MS,
): AsyncIterable<Buffer, undefined> {
  const source = req.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer, undefined>;
  let isLate = false;
  return {
    [Symbol.asyncIterator]: () => ({
      async next() {
        let timer: NodeJS.Timeout | undefined;
        const late = new Promise<never>((_, reject) => {
          timer = setTimeout(() => {
            isLate = true;
            reject(silent());
          }, silentMs);
        });
        return Promise.race([source.next(), late]).finally(() => clearTimeout(timer));
      },
      // It would wait for the piece that does not come.
      return: () => (isLate ? END : (source.return?.() ?? END)),
    }),
  };
}

const END = Promise.resolve({ done: true as const, value: undefined });

/** Waits for what reads a body as a whole. @throws Refusal 408 `timeout` when nothing more of it comes */
export async function whileItComes<T>(
  { socket }: { socket: Pick<IncomingMessage['socket'], 'bytesRead'> },
  reading: Promise<T>,
  silentMs = SILENT_MS,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    let seen = socket.bytesRead;
    timer = setInterval(() => {
      if (socket.bytesRead === seen) reject(silent());
      seen = socket.bytesRead;
    }, silentMs);
  });
  return Promise.race([reading, late]).finally(() => clearInterval(timer));
}

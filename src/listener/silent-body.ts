import type { IncomingMessage } from 'node:http';
import { deadline, within } from '../async/within.js';
import { Refusal } from './answer.js';

/** A body may take as long as it takes; one of which nothing comes for so long is refused. */
const SILENT_MS = 60_000;

const silent = () => new Refusal(408, 'timeout', { Connection: 'close' });

/** The pieces of a body. @throws Refusal 408 `timeout` when the next one does not come */
export function bodyPieces(
  req: Pick<IncomingMessage, 'iterator'>,
  silentMs = SILENT_MS,
): AsyncIterable<Buffer, undefined> {
  const source = req.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer, undefined>;
  let isLate = false;
  return {
    [Symbol.asyncIterator]: () => ({
      async next() {
        return deadline(silentMs, source.next(), () => {
          isLate = true;
          return silent();
        });
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
  const answer = reading.then((value) => ({ value }));
  for (let seen = -1; socket.bytesRead !== seen;) {
    seen = socket.bytesRead;
    const read = await within(silentMs, answer);
    if (read) return read.value;
  }
  throw silent();
}

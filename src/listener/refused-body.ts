import type { Context } from 'koa';
import { isKnown } from './strangers.js';

/** What is still read of a refused request's body, so that its connection stays usable. */
const MAX_BYTES = { known: 64 * 1024 * 1024, stranger: 16 * 1024 * 1024 };
const MAX_MS = 10_000;

/** Reads what is left of a body that nobody wants, up to a bound; beyond it the connection ends. */
export function passOverBody({ req, res }: Pick<Context, 'req' | 'res'>): void {
  if (req.complete || req.destroyed) return;
  let left = MAX_BYTES[isKnown(req.socket) ? 'known' : 'stranger'];
  const end = () => req.socket.destroy();
  const late = setTimeout(end, MAX_MS);
  const done = () => clearTimeout(late);
  req.once('close', done).once('end', done);
  // What unpacked it reads no more.
  req.unpipe();
  req.on('data', (piece: Buffer) => {
    left -= piece.length;
    // Not before the answer is on its way.
    if (left < 0) return res.writableFinished ? end() : void res.once('finish', end);
  });
  req.resume();
}

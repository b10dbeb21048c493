import { koaBody } from 'koa-body';
import type { Context, Middleware } from 'koa';
import { Refusal } from './answer.js';
import { whileItComes } from './silent-body.js';

const BODY_LIMIT = '8mb';

/**
 * Reads a body of JSON whatever its Content-Type says: clients of the Python package send no or another Content-Type.
 */
export function readBody(): Middleware {
  const read = koaBody({
    json: false,
    urlencoded: false,
    multipart: false,
    text: true,
    textLimit: BODY_LIMIT,
    onError: (error) => {
      throw isBrokenGzip(error) ? new Refusal(400, 'bad-json') : error;
    },
  });
  return async (ctx, next) => {
    const { headers } = ctx.req;
    headers['content-type'] = 'text/plain; charset=utf-8';
    const encoding = headers['content-encoding']?.trim().toLowerCase();
    // RFC 9110, 8.4.1: the tokens ignore case, and `x-gzip` is another name of `gzip`.
    if (encoding !== undefined) headers['content-encoding'] = encoding === 'x-gzip' ? 'gzip' : encoding;
    if (encoding === 'br') throw new Refusal(415, 'bad-request');
    await whileItComes(ctx.req, Promise.resolve(read(ctx, () => Promise.resolve())));
    await next();
  };
}

/** The body is not what its Content-Encoding says. */
const isBrokenGzip = (error: unknown): boolean =>
  String((error as { code?: unknown } | null)?.code).startsWith('Z_');

/** The JSON object in the body, without members that are null: they mean absent. @throws Refusal 400 `bad-json` */
export function objectIn(ctx: Context): Record<string, unknown> {
  try {
    const body: unknown = JSON.parse(ctx.request.body as string);
    if (isObject(body)) return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
  } catch {
    // Answered below.
  }
  throw new Refusal(400, 'bad-json');
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

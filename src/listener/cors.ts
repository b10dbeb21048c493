import type { Middleware } from 'koa';
import type { HostContext } from '../session/model/host-context.js';

/** Origins whose pages may call the listener. */
export type Origins = Pick<HostContext['config'], 'corsOrigins' | 'codecOrigins'>;

export const isOfCodec = (path: string): boolean => path.startsWith('/codec/');

/** Whether pages of this origin may call this path. */
export const isListed = ({ corsOrigins, codecOrigins }: Origins, origin: string, path: string): boolean =>
  corsOrigins.includes(origin) || (isOfCodec(path) && codecOrigins.includes(origin));

/**
 * Lets pages of listed origins call the listener. A preflight is answered here, without authorization: browsers
 * send none with it.
 */
export function cors(origins: Origins): Middleware {
  return async (ctx, next) => {
    ctx.vary('Origin');
    const origin = ctx.get('origin');
    const isAllowed = isListed(origins, origin, ctx.path);
    if (isAllowed) {
      ctx.set('Access-Control-Allow-Origin', origin);
      ctx.set('Access-Control-Allow-Credentials', 'true');
      ctx.set('Access-Control-Expose-Headers', EXPOSED);
    }
    if (ctx.method !== 'OPTIONS' || ctx.get('access-control-request-method') === '') {
      await next();
      return;
    }
    if (isAllowed) {
      ctx.set('Access-Control-Allow-Methods', 'GET, HEAD, POST');
      ctx.set('Access-Control-Allow-Headers', isOfCodec(ctx.path) ? OF_CODEC : OF_TASKS);
      ctx.set('Access-Control-Max-Age', '600');
    }
    ctx.status = 204;
  };
}

const OF_TASKS = 'Authorization, Content-Type, Last-Event-ID, Range';
/** What the Temporal UI sends. */
const OF_CODEC = 'Authorization, Authorization-Extras, Content-Type, X-Namespace';
const EXPOSED = 'Content-Disposition, Content-Range, Accept-Ranges, Retry-After';

import type { Middleware } from 'koa';

/**
 * Lets pages of these origins call the listener. A preflight is answered here, without authorization: browsers
 * send none with it.
 */
export function cors(origins: readonly string[]): Middleware {
  return async (ctx, next) => {
    ctx.vary('Origin');
    const origin = ctx.get('origin');
    const isAllowed = origins.includes(origin);
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
      ctx.set('Access-Control-Allow-Headers', 'Authorization, Content-Type, Last-Event-ID, Range');
      ctx.set('Access-Control-Max-Age', '600');
    }
    ctx.status = 204;
  };
}

const EXPOSED = 'Content-Disposition, Content-Range, Accept-Ranges, Retry-After';

import { isIP } from 'node:net';
import type { Context, Middleware } from 'koa';
import type { HostContext } from '../session/model/host-context.js';
import { Refusal } from './answer.js';
import { isListed, type Origins } from './cors.js';

/** Where the listener is, and the origins whose pages may act. */
export type OwnNames = Pick<HostContext['config'], 'listen' | 'publicUrl'> & Origins;

/**
 * Keeps out pages of other sites, whatever credentials their browser adds: a name that is not this listener's in Host
 * (DNS rebinding), and a request that acts from an origin that is not listed. Who sends neither Origin nor
 * Sec-Fetch-Site is no page. `/health` and `/ready` answer by any name.
 * @throws Refusal 421 `unknown-host`, 403 `cross-origin`
 */
export function refuseForeign(own: OwnNames): Middleware {
  return async (ctx, next) => {
    if (!OPEN.has(ctx.path) && !isOwnHost(ctx, own)) throw new Refusal(421, 'unknown-host');
    if (!SAFE.has(ctx.method) && isForeign(ctx, own)) throw new Refusal(403, 'cross-origin');
    await next();
  };
}

const OPEN = new Set(['/health', '/ready']);
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

function isForeign(ctx: Context, { publicUrl, ...origins }: OwnNames): boolean {
  const origin = ctx.get('origin');
  if (origin === '') return ctx.get('sec-fetch-site').toLowerCase() === 'cross-site';
  if (isListed(origins, origin, ctx.path)) return false;
  if (ctx.get('sec-fetch-site').toLowerCase() === 'cross-site') return true;
  const own = [`http://${ctx.get('host')}`, ...(publicUrl === null ? [] : [new URL(publicUrl).origin])];
  return !own.includes(origin);
}

function isOwnHost(ctx: Context, { listen, publicUrl }: OwnNames): boolean {
  const given = ctx.get('host');
  if (given === '') return true;
  const name = nameIn(given);
  if (name === null) return false;
  if (isLoopback(name)) return true;
  const boundHost = bare(listen.host);
  if (name === boundHost) return true;
  if (publicUrl !== null && name === bare(new URL(publicUrl).hostname)) return true;
  // No other site's page can have these: nobody's DNS answers for a name without a dot, nor for an address.
  if (!name.includes('.') && isIP(name) === 0) return true;
  const isAnyAddress = ['0.0.0.0', '::'].includes(boundHost);
  return isAnyAddress && isIP(name) !== 0;
}

/** The host's name without its port, in lower case; null when there is none. */
function nameIn(host: string): string | null {
  try {
    return bare(new URL(`http://${host}`).hostname);
  } catch {
    return null;
  }
}

const bare = (host: string): string =>
  host
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');

const isLoopback = (name: string): boolean =>
  name === 'localhost' ||
  name.endsWith('.localhost') ||
  name === '::1' ||
  (isIP(name) === 4 && name.startsWith('127.'));

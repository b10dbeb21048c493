import type { Context } from 'koa';

/** A request that is refused: its status and the short reason clients know. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
    readonly headers: Record<string, string> = {},
  ) {
    super(reason);
  }
}

/** Answers `{ok: true}` and more. */
export function ok(ctx: Context, more: Record<string, unknown> = {}): void {
  ctx.status = 200;
  ctx.body = { ok: true, ...more };
}

/** The one place that turns errors into replies. */
export function refuse(ctx: Context, error: unknown): void {
  const refusal = error instanceof Refusal ? error : refusalOf(error);
  ctx.status = refusal.status;
  ctx.set(refusal.headers);
  ctx.body = refusal.reason === '' ? { ok: false } : { ok: false, reason: refusal.reason };
}

function refusalOf(error: unknown): Refusal {
  const status = (error as { status?: unknown } | null)?.status;
  if (status === 413) return new Refusal(413, 'too-large');
  if (typeof status === 'number' && status >= 400 && status < 500) return new Refusal(status, 'bad-request');
  return new Refusal(500, 'internal');
}

/** For what cannot be done now and can be soon. */
export const unavailable = (reason: string) => new Refusal(503, reason, { 'Retry-After': '2' });

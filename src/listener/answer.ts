import type { Context } from 'koa';
import { WorkFileFault } from '../workdir/work-file-fault.js';

/** A request that is refused: its status and the short reason clients know. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
    readonly headers: Record<string, string> = {},
    /** More for people. */
    readonly detail?: string,
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
  const { reason, detail } = refusal;
  ctx.body = { ok: false, ...(reason !== '' && { reason }), ...(detail !== undefined && { detail }) };
}

/** A refusal of what cannot be done now and can be done soon. */
export const unavailable = (reason: string) => new Refusal(503, reason, { 'Retry-After': '2' });

const FAULT_STATUS = { 'not-found': 404, forbidden: 403, 'bad-path': 400, 'too-large': 413 } as const;

function refusalOf(error: unknown): Refusal {
  if (error instanceof WorkFileFault) return new Refusal(FAULT_STATUS[error.kind], error.kind);
  const { status, code } = (error ?? {}) as { status?: unknown; code?: unknown };
  if (status === 413) return new Refusal(413, 'too-large');
  if (typeof status === 'number' && status >= 400 && status < 500) return new Refusal(status, 'bad-request');
  if (code === 'ENOSPC' || code === 'EDQUOT') return unavailable('disk-full');
  return new Refusal(500, 'internal');
}

import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HeldAnswer, OAuthRequest, OAuthServer } from '../support/oauth-server.js';

export interface RefreshPoints {
  /** The server has taken a token of this account and made the next, and nobody has heard of it. */
  taken(accountId: string): Promise<void>;
  /** Codex has written the answer, or never will; the database may not have it. */
  written(accountId: string): Promise<void>;
  /** Where the account's codex writes. */
  authFile(accountId: string): string;
}

/** Holds each answer of the token server until `taken` is done. Ends with the signal. */
export function watchRefreshes(oauth: OAuthServer, points: RefreshPoints, signal: AbortSignal): void {
  let waiting = oauth.hold();
  signal.addEventListener('abort', () => waiting.release(), { once: true });
  const next = (held: HeldAnswer): void => {
    waiting = held;
    held.arrived.then(
      (request) => {
        if (signal.aborted) return;
        // There is always one that waits for the next request, whosever it is.
        next(oauth.hold());
        void answer(points, request, held).finally(() => held.release());
      },
      () => undefined,
    );
  };
  next(waiting);
}

async function answer(points: RefreshPoints, request: OAuthRequest, held: HeldAnswer): Promise<void> {
  const accountId = /^rt-(.*)-\d+$/.exec(request.refreshToken ?? '')?.[1] ?? '';
  await points.taken(accountId);
  const file = points.authFile(accountId);
  const before = await inodeOf(file);
  held.release();
  const until = performance.now() + WRITTEN_MS;
  while ((await inodeOf(file)) === before && performance.now() < until) await sleep(1);
  await points.written(accountId);
}

/** Codex that was killed meanwhile writes nothing. */
const WRITTEN_MS = 3_000;

const inodeOf = (file: string): Promise<number | null> =>
  stat(file).then(
    ({ ino }) => ino,
    () => null,
  );

import { setTimeout as delay } from 'node:timers/promises';
import { timerMs } from './timer-ms.js';

/** Resolves after `ms` milliseconds, or as soon as the signal aborts, before the call too. Never rejects. */
export const pause = (ms: number, signal: AbortSignal | undefined): Promise<void> =>
  delay(timerMs(ms), undefined, { ...(signal && { signal }) }).catch(() => undefined);

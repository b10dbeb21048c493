import { watch } from 'node:fs';
import { within } from '../async/within.js';

/**
 * Calls back when a file of a folder changed, or when a time has passed; only the time is left when the system can
 * watch no more (inotify's instances or watches are used up).
 * @param onUnwatched hears once why changes do not ring
 */
export function changeAlarm(fileName: string, onUnwatched: (error: Error) => void) {
  let isSaid = false;
  let rung = false;
  let wake: (() => void) | null = null;
  let watcher: ReturnType<typeof watch> | null = null;
  const ring = () => {
    rung = true;
    wake?.();
  };
  const unwatched = (error: Error) => {
    if (!isSaid) onUnwatched(error);
    isSaid = true;
    ring();
  };
  return {
    watch(folder: string) {
      watcher?.close();
      watcher = null;
      try {
        watcher = watch(folder, (_event, name) => {
          // A file that is written elsewhere and renamed into place counts too.
          if (name === fileName || name === null) ring();
        });
        watcher.on('error', unwatched);
      } catch (error) {
        unwatched(error as Error);
      }
    },
    ring,
    async rings(ms: number, signal: AbortSignal): Promise<void> {
      if (rung || signal.aborted) {
        rung = false;
        return;
      }
      const ringing = new Promise<void>((resolve) => (wake = resolve));
      await within(ms, ringing, signal);
      wake = null;
      rung = false;
    },
    close: () => watcher?.close(),
  };
}

/** A number of places that are taken one by one; who finds none waits, first come first served. */
export interface Places {
  /** @throws the signal's reason when aborted before there was one */
  take(signal: AbortSignal): Promise<void>;
  /** False: there is none now. */
  tryTake(): boolean;
  giveBack(): void;
}

export function openPlaces(max: number): Places {
  let taken = 0;
  let waiting: (() => void)[] = [];
  const tryTake = () => taken < max && ++taken > 0;
  return {
    tryTake,
    async take(signal) {
      signal.throwIfAborted();
      if (tryTake()) return;
      await new Promise<void>((resolve, reject) => {
        // Whoever gives one back hands it on.
        const handed = () => {
          signal.removeEventListener('abort', abort);
          resolve();
        };
        const abort = () => {
          waiting = waiting.filter((each) => each !== handed);
          reject(signal.reason as Error);
        };
        signal.addEventListener('abort', abort, { once: true });
        waiting.push(handed);
      });
    },
    giveBack() {
      const next = waiting.shift();
      if (next) next();
      else taken--;
    },
  };
}

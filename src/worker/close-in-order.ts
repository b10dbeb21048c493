type Close<T> = (thing: T) => Promise<unknown> | void;

/** What is open of something that is made of parts. */
export interface Openings {
  /** Notes how a part is closed, and gives it back. */
  opened<T>(name: string, part: T, close: Close<T>): T;
  /** Closes every part once, the newest first. One that fails is told, and keeps none of the others open. */
  close(): Promise<void>;
}

/** @param onFailure told of a part that could not be closed */
export function closeInOrder(onFailure: (name: string, error: unknown) => void): Openings {
  const closers: [string, () => Promise<unknown> | void][] = [];
  return {
    opened(name, part, close) {
      closers.unshift([name, () => close(part)]);
      return part;
    },
    async close() {
      for (const [name, close] of closers.splice(0)) {
        try {
          await close();
        } catch (error) {
          onFailure(name, error);
        }
      }
    },
  };
}

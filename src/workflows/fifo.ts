/** A queue whose every step takes the same time, however long it is. */
export interface Fifo<T> extends Iterable<T> {
  readonly size: number;
  push(item: T): void;
  /** The oldest, which leaves. */
  shift(): T | undefined;
  /** Back to where it left. */
  unshift(item: T): void;
}

/** So many that left are removed at once. */
const SWEPT = 1_000;

export function openFifo<T>(items: Iterable<T> = []): Fifo<T> {
  let queue: (T | undefined)[] = [...items];
  let head = 0;
  return {
    get size() {
      return queue.length - head;
    },
    push: (item) => void queue.push(item),
    shift() {
      if (head === queue.length) return undefined;
      const item = queue[head];
      queue[head++] = undefined;
      if (head >= SWEPT && head * 2 >= queue.length) {
        queue = queue.slice(head);
        head = 0;
      }
      return item;
    },
    unshift(item) {
      if (head > 0) queue[--head] = item;
      else queue.unshift(item);
    },
    *[Symbol.iterator]() {
      for (let at = head; at < queue.length; at++) yield queue[at] as T;
    },
  };
}

/** Bytes of a stream, taken in the lengths that a reader wants. */
export interface ByteQueue {
  /** Whether that many bytes are still to come; they are in memory then. */
  has(length: number): Promise<boolean>;
  /** The next bytes. Call only after `has(length)` returned true. */
  take(length: number): Buffer;
  /** The same, left in place. */
  peek(length: number): Buffer;
  /** All that is left. */
  rest(): AsyncGenerator<Buffer>;
}

export function createByteQueue(source: AsyncIterable<Buffer>): ByteQueue {
  const iterator: AsyncIterator<Buffer, unknown> = source[Symbol.asyncIterator]();
  let chunks: Buffer[] = [];
  let buffered = 0;
  const gather = (length: number): Buffer => {
    if (chunks.length !== 1) chunks = [Buffer.concat(chunks)];
    const [bytes = Buffer.alloc(0)] = chunks;
    if (bytes.length < length)
      throw new RangeError(`${length} bytes were asked for, ${bytes.length} are there`);
    return bytes;
  };
  return {
    async has(length) {
      while (buffered < length) {
        const next = await iterator.next();
        if (next.done === true) return false;
        chunks.push(next.value);
        buffered += next.value.length;
      }
      return true;
    },
    peek: (length) => gather(length).subarray(0, length),
    take(length) {
      const bytes = gather(length);
      chunks = [bytes.subarray(length)];
      buffered -= length;
      return bytes.subarray(0, length);
    },
    async *rest() {
      try {
        yield* chunks;
        for (;;) {
          const next = await iterator.next();
          if (next.done === true) return;
          yield next.value;
        }
      } finally {
        await iterator.return?.();
      }
    },
  };
}

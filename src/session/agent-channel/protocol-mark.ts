import type { Ledger, LedgerRecord } from '../../task-folder/ledger.js';
import type { LogTail, TailBatch } from '../../task-folder/log-tail.js';

/**
 * How often it is written down how far the log was read, but for what came of it: an agent may write without end, and
 * a line that is read again does nothing again.
 */
const KEEP_MS = 10_000;

/** How far the agent's log was read and acted on. */
export class ProtocolMark {
  #line: number;
  /** What is not written down yet. */
  #unkept: LedgerRecord | null = null;
  #keepAgainAt = 0;

  constructor(
    private readonly ledger: Pick<Ledger, 'write'>,
    private readonly tail: Pick<LogTail, 'keep'>,
    private readonly token: string,
    line: number,
  ) {
    this.#line = line;
  }

  /** The number of the line that was read last. */
  get line(): number {
    return this.#line;
  }

  /** The file is another one: its lines count on from those of which something was told. */
  startAfter(line: number): void {
    this.#line = Math.max(this.#line, line);
  }

  /** Something came of a line: that it was read is written down with it. */
  hurry(): void {
    this.#keepAgainAt = 0;
  }

  /** @param atOnce at a turn's end another host may go on from here */
  async move({ lines, position }: TailBatch, atOnce: boolean): Promise<void> {
    this.#line += lines.length;
    this.tail.keep(position);
    if (lines.length > 0) this.#unkept = { t: 'protocol', token: this.token, line: this.#line, position };
    if (performance.now() >= this.#keepAgainAt || atOnce) await this.writeDown();
  }

  /** @throws what the disk says: the next call tries again */
  async writeDown(): Promise<void> {
    if (!this.#unkept) return;
    await this.ledger.write(this.#unkept);
    this.#unkept = null;
    this.#keepAgainAt = performance.now() + KEEP_MS;
  }
}

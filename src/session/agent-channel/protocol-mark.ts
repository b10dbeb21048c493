import type { Ledger, LedgerRecord } from '../../task-folder/ledger.js';
import type { LogTail, TailBatch } from '../../task-folder/log-tail.js';

/**
 * How often the position in the log is recorded when its lines had no effect: an agent may write without end, and
 * reading such a line again does no harm.
 */
const KEEP_MS = 10_000;

/** How far the agent's log was read and acted on. */
export class ProtocolMark {
  #line: number;
  /** The position that is not recorded yet. */
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

  /** The file was replaced: line numbers continue from the newest reported line. */
  startAfter(line: number): void {
    this.#line = Math.max(this.#line, line);
  }

  /** A line had an effect: records its position too. */
  hurry(): void {
    this.#keepAgainAt = 0;
  }

  /** @param atOnce another host may continue from the end of a turn */
  async move({ lines, position }: TailBatch, atOnce: boolean): Promise<void> {
    this.#line += lines.length;
    this.tail.keep(position);
    if (lines.length > 0) this.#unkept = { t: 'protocol', token: this.token, line: this.#line, position };
    if (performance.now() >= this.#keepAgainAt || atOnce) await this.writeDown();
  }

  /** @throws the disk's error: the next call retries */
  async writeDown(): Promise<void> {
    if (!this.#unkept) return;
    await this.ledger.write(this.#unkept);
    this.#unkept = null;
    this.#keepAgainAt = performance.now() + KEEP_MS;
  }
}

import { join } from 'node:path';
import { pause } from '../../async/pause.js';
import { reasonOf } from '../../errors.js';
import type { Log } from '../../log.js';
import { changeAlarm } from '../../process/watch-file.js';
import { openLogTail, START, type LogTail } from '../../task-folder/log-tail.js';
import { endOf, LineActions, type LineActionsOptions, type ProtocolTarget } from './line-actions.js';
import { lastLineIn } from './protocol-events.js';
import { ProtocolMark } from './protocol-mark.js';
import { newToken, tokensIn } from './protocol-tokens.js';

/** The agent's log below a workdir. */
export const PROTOCOL_LOG = 'optio.log';

const POLL_MS = 2_000;
const RETRY_MS = 1_000;
/** How long the end of a turn waits for unread lines. */
const PATIENCE_MS = 10_000;
/** Reads without a pause between them. */
const READS = 16;
/** Pause in which lines that come together are read together. */
const GATHER_MS = 50;

export interface ProtocolOptions extends Omit<LineActionsOptions, 'signal' | 'idOf' | 'onLasting'> {
  readonly log: Log;
}

export interface HostProtocol {
  /** Whether lines may be there that were not handled. */
  readonly isBehind: boolean;
  /** A turn is over: handles its lines before the session may end. */
  turnEnded(): void;
  /** Begins to read. */
  start(target: ProtocolTarget): Promise<void>;
  /** Stops reading; resolves when no read is in flight. */
  close(): Promise<void>;
}

/**
 * Handles the lines that the agent writes into `optio.log` once each, even when the worker is killed in between:
 * events name their line, and hook requests and the verdict are in the ledger.
 */
export const openHostProtocol = (options: ProtocolOptions): HostProtocol => new ProtocolReader(options);

class ProtocolReader implements HostProtocol {
  readonly #token: string;
  readonly #isNew: boolean;
  readonly #tail: LogTail;
  readonly #mark: ProtocolMark;
  readonly #actions: LineActions;
  readonly #alarm: ReturnType<typeof changeAlarm>;
  readonly #stopped = new AbortController();
  /** Requested and finished reads: a read to the end serves every request from before it began. */
  #asked = 1;
  #served = 0;
  #patienceEnds = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(private readonly options: ProtocolOptions) {
    const { work, ledger, log } = options;
    const past = ledger.past.findLast((record) => record.t === 'protocol');
    const tokens = tokensIn(ledger.past);
    const token = tokens.at(-1)?.token ?? newToken();
    this.#token = token;
    this.#isNew = past === undefined;
    this.#tail = openLogTail(join(work, PROTOCOL_LOG), past?.position ?? null);
    this.#alarm = changeAlarm(PROTOCOL_LOG, (error) =>
      log.warn({ reason: error.message }, 'protocol.watch.failed'),
    );
    this.#mark = new ProtocolMark(ledger, this.#tail, token, past?.line ?? 0);
    this.#actions = new LineActions({
      ...options,
      signal: this.#stopped.signal,
      idOf: (n) => `${(tokens.findLast(({ after }) => after < n) ?? { token }).token}-${n}`,
      onLasting: () => this.#mark.hurry(),
    });
  }

  get isBehind(): boolean {
    return !this.#actions.hasVerdict && this.#served < this.#asked;
  }

  turnEnded(): void {
    this.#asked++;
    this.#patienceEnds = performance.now() + PATIENCE_MS;
    this.#alarm.ring();
  }

  async start(target: ProtocolTarget): Promise<void> {
    const { ledger, journal, work } = this.options;
    const verdict = ledger.past.find((record) => record.t === 'verdict');
    if (verdict) return target.conclude(endOf({ kind: verdict.is, text: verdict.text }));
    this.#actions.startAfter(!this.#isNew || journal.lastId > 0 ? await lastLineIn(journal) : 0);
    // Written before the first hook request, whose id uses it.
    if (this.#isNew) await ledger.write({ t: 'protocol', token: this.#token, line: 0, position: START });
    this.#alarm.watch(work);
    this.#running = this.#run(target);
  }

  async close(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
    await this.#mark.writeDown().catch(() => undefined);
    this.#alarm.close();
    await this.#tail.close();
  }

  async #run(target: ProtocolTarget): Promise<void> {
    const { log } = this.options;
    for (let reads = 1; !this.#stopped.signal.aborted && !this.#actions.hasVerdict; reads++) {
      const wanted = this.#asked;
      const more = await this.#readOn(target).catch(async (error: unknown) => {
        log.warn({ reason: reasonOf(error) }, 'protocol.retry');
        await this.#pause(RETRY_MS);
        return true;
      });
      if (more && reads % READS === 0) await this.#pause(GATHER_MS);
      // An agent that never stops writing does not keep the session from ending.
      if (more && performance.now() < this.#patienceEnds) continue;
      this.#served = wanted;
      if (!this.#actions.hasVerdict) target.reconsider();
      if (more) continue;
      await this.#alarm.rings(POLL_MS, this.#stopped.signal);
      await this.#pause(GATHER_MS);
    }
  }

  /** `false`: nothing is left. */
  async #readOn(target: ProtocolTarget): Promise<boolean> {
    const batch = await this.#tail.read();
    if (!batch) return false;
    // No line of the new file was reported yet.
    if (batch.restarted) this.#mark.startAfter(this.#actions.lastLine);
    for (const [i, line] of batch.lines.entries()) {
      if (this.#stopped.signal.aborted) return false;
      await this.#actions.act(this.#mark.line + i + 1, line, target);
      if (this.#actions.hasVerdict) return false;
    }
    await this.#actions.flush();
    await this.#mark.move(batch, batch.atEnd && this.#served < this.#asked);
    return !batch.atEnd;
  }

  #pause(ms: number): Promise<unknown> {
    return pause(ms, this.#stopped.signal);
  }
}

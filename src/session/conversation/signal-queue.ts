import { within } from '../../async/within.js';
import { pause } from '../../async/pause.js';
import type { HostSignal, HostSignals, SessionReport } from '../../contract/index.js';
import { reasonOf, TaskError } from '../../errors.js';
import type { Log } from '../../log.js';
import { NewestReport } from './newest-report.js';

/** Sends one signal; rejects when Temporal did not take it, with TaskError `BadInput` when it never will. */
export type SendSignal = <N extends keyof HostSignals>(
  name: N,
  argument: HostSignals[N],
) => Promise<'sent' | 'workflow-gone'>;

/** Called with the reason when Temporal rejects a signal for good: nobody will answer it. */
export type OnRefused = (reason: string) => void;

type Waiting = HostSignal & {
  onSent?: () => void;
  onRefused?: OnRefused | undefined;
};

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;
const TOLD_MS = 10_000;

/** Signals to one workflow, each sent until it arrives and the next only after that. */
export class SignalQueue {
  readonly #closed = new AbortController();
  readonly #reports = new NewestReport();
  #waiting: Waiting[] = [];
  #isSending = false;

  constructor(
    private readonly send: SendSignal,
    private readonly log: Log,
    private readonly onGone: () => void,
  ) {}

  get isClosed(): boolean {
    return this.#closed.signal.aborted;
  }

  add(next: HostSignal, onRefused?: OnRefused): void {
    if (this.isClosed) return;
    const each = next.name === 'sessionChanged' ? this.#newest(next.argument) : next;
    this.#waiting.push({ ...each, onRefused });
    if (!this.#isSending) void this.#sendAll();
  }

  /** See `WorkflowLink.told`. */
  async told(requestId: string): Promise<void> {
    const each = this.#waiting.find(
      ({ name, argument }) => name === 'permissionRequested' && argument.requestId === requestId,
    );
    if (!each || this.isClosed) return;
    const earlier = each.onSent;
    const sent = new Promise<true>((resolve) => {
      each.onSent = () => {
        earlier?.();
        resolve(true);
      };
    });
    if (await within(TOLD_MS, sent, this.#closed.signal)) return;
    throw new Error(`Temporal does not have request ${requestId} yet`);
  }

  /** Drops what has not arrived by now. */
  close(): void {
    this.#closed.abort();
  }

  /** Merges reports that were not sent yet into one. */
  #newest(report: SessionReport): HostSignal {
    const old = this.#waiting.flatMap((each, i) =>
      each.name === 'sessionChanged' && !(this.#isSending && i === 0) ? [each] : [],
    );
    this.#waiting = this.#waiting.filter((each) => !old.some((other) => other === each));
    const argument = this.#reports.after(
      old.map((each) => each.argument),
      report,
    );
    return { name: 'sessionChanged', argument };
  }

  async #sendAll(): Promise<void> {
    this.#isSending = true;
    let retryMs = FIRST_RETRY_MS;
    while (!this.isClosed) {
      const next = this.#waiting[0];
      if (!next) break;
      try {
        const result = await this.send(next.name, next.argument);
        this.#waiting.shift();
        next.onSent?.();
        retryMs = FIRST_RETRY_MS;
        if (result === 'sent') continue;
        this.onGone();
        break;
      } catch (error) {
        // The next signals must not wait for one that never arrives.
        if (error instanceof TaskError && error.code === 'BadInput') {
          this.#refused(next, error.message);
          continue;
        }
        this.log.warn({ signal: next.name, reason: reasonOf(error) }, 'signal.retry');
        await pause(retryMs, this.#closed.signal);
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
      }
    }
    this.#isSending = false;
  }

  #refused(each: Waiting, reason: string): void {
    this.log.error({ signal: each.name, reason }, 'signal.refused');
    this.#waiting.shift();
    each.onRefused?.(reason);
    const isReport = each.name === 'sessionChanged';
    // Its optional parts may be the cause. A warning about this is not repeated about itself.
    if (isReport && this.#reports.isBare(each.argument)) return;
    const warning = `The signal ${nameOf(each)} did not reach the task${MEANS[each.name] ?? ''}: ${reason}`;
    const again = this.#reports.warn(warning, isReport);
    if (!again || this.isClosed) return;
    this.add({ name: 'sessionChanged', argument: again });
    if (isReport) this.#reports.markBare(this.#waiting.at(-1)!.argument);
  }
}

/** Settles a wait for an answer. */
const MEANS: Partial<Record<keyof HostSignals, string>> = {
  permissionRequested: ', and was denied',
  hookRequested: ', and was answered so',
};

/** A permission request or hook request with its id. */
function nameOf({ name, argument }: HostSignal): string {
  if (name === 'permissionRequested' || name === 'permissionSettled') return `${name} ${argument.requestId}`;
  return name === 'hookRequested' ? `${name} ${argument.id}` : name;
}

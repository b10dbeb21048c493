import type {
  HookRequest,
  HostRestarted,
  PermissionRecord,
  PermissionRequest,
  PermissionSettled,
  SessionReport,
} from '../../contract/index.js';
import { BUDGETS, countWithin } from '../../budgets/budgets.js';
import type { Log } from '../../log.js';
import { SignalQueue, type OnRefused, type SendSignal } from './signal-queue.js';

export type { OnRefused, SendSignal } from './signal-queue.js';

/**
 * Signals of the host to the task's workflow, in order. Every call returns at once, and its signal is sent until it
 * arrives.
 */
export interface WorkflowLink {
  permissionRequested(request: PermissionRequest, onRefused: OnRefused): void;
  permissionSettled(settled: PermissionSettled): void;
  sessionChanged(report: SessionReport): void;
  hookRequested(request: HookRequest, onRefused: OnRefused): void;
  /** Reports that this host has adopted the task: its long activities have to run again. */
  hostRestarted(host: HostRestarted): void;
  /** Reports requests that rules decided here, in batches, each within a second. */
  permissionsRecorded(records: readonly PermissionRecord[]): void;
  /**
   * Resolves when Temporal has this request: a decision long before it is dropped.
   * @throws Error when it has not within 10 s, or the link is closed before
   */
  told(requestId: string): Promise<void>;
  /** Sends the batch now. */
  flush(): void;
  /** Stops sending; drops what has not arrived by then. */
  close(): void;
}

const BATCH_MS = 1_000;
/** Most records that fit into one signal. */
const BATCH_RECORDS = 100;

/** Opens a link over `send`. `onGone` is called once when the workflow is no longer running. */
export const openWorkflowLink = (send: SendSignal, log: Log, onGone: () => void): WorkflowLink =>
  new SignalLink(new SignalQueue(send, log, onGone));

class SignalLink implements WorkflowLink {
  #records: PermissionRecord[] = [];
  #batchTimer: NodeJS.Timeout | undefined;

  constructor(private readonly queue: SignalQueue) {}

  permissionRequested(argument: PermissionRequest, onRefused: OnRefused): void {
    this.queue.add({ name: 'permissionRequested', argument }, onRefused);
  }

  permissionSettled(argument: PermissionSettled): void {
    this.queue.add({ name: 'permissionSettled', argument });
  }

  hostRestarted(argument: HostRestarted): void {
    this.queue.add({ name: 'hostRestarted', argument });
  }

  hookRequested(argument: HookRequest, onRefused: OnRefused): void {
    this.queue.add({ name: 'hookRequested', argument }, onRefused);
  }

  sessionChanged(argument: SessionReport): void {
    this.queue.add({ name: 'sessionChanged', argument });
  }

  permissionsRecorded(more: readonly PermissionRecord[]): void {
    if (this.queue.isClosed) return;
    this.#records.push(...more);
    if (this.#records.length >= BATCH_RECORDS) this.flush();
    else this.#batchTimer ??= setTimeout(() => this.flush(), BATCH_MS);
  }

  flush(): void {
    clearTimeout(this.#batchTimer);
    this.#batchTimer = undefined;
    while (this.#records.length > 0) {
      // One record alone is always small enough.
      const fit = countWithin(this.#records.slice(0, BATCH_RECORDS), BUDGETS.signal);
      const argument = this.#records.splice(0, Math.max(fit, 1));
      this.queue.add({ name: 'permissionsRecorded', argument });
    }
  }

  told(requestId: string): Promise<void> {
    return this.queue.told(requestId);
  }

  close(): void {
    clearTimeout(this.#batchTimer);
    this.#records = [];
    this.queue.close();
  }
}

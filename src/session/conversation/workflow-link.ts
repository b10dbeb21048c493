import type {
  HookRequest,
  HostRestarted,
  HostSignal,
  HostSignals,
  PermissionRecord,
  PermissionRequest,
  PermissionSettled,
  SessionReport,
} from '../../contract/index.js';
import { BUDGETS, countWithin } from '../../budgets/budgets.js';
import { reasonOf, TaskError } from '../../errors.js';
import type { Log } from '../../log.js';

/** Called with the reason when Temporal refuses a word for good: what waits for its answer has none to come. */
export type OnRefused = (reason: string) => void;

/** What the host says to the task's workflow, in order. Every call is taken at once and sent until it arrives. */
export interface WorkflowLink {
  permissionRequested(request: PermissionRequest, onRefused: OnRefused): void;
  permissionSettled(settled: PermissionSettled): void;
  sessionChanged(report: SessionReport): void;
  hookRequested(request: HookRequest, onRefused: OnRefused): void;
  /** This host has taken the task up again: its long steps are to be run again. */
  hostRestarted(host: HostRestarted): void;
  /** Requests that rules decided here; told in batches, each within a second. */
  permissionsRecorded(records: readonly PermissionRecord[]): void;
  /**
   * Resolves when Temporal has this request: a decision that comes long before it is dropped.
   * @throws Error when it has not within 10 s, or the link is closed before
   */
  told(requestId: string): Promise<void>;
  /** Sends what is kept for a batch now. */
  flush(): void;
  /** Stops sending; what has not arrived by then is dropped. */
  close(): void;
}

/** Sends one signal; rejects when Temporal did not take it, with TaskError `BadInput` when it never will. */
export type SendSignal = <N extends keyof HostSignals>(
  name: N,
  argument: HostSignals[N],
) => Promise<'sent' | 'workflow-gone'>;

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;
const BATCH_MS = 1_000;
const TOLD_MS = 10_000;
/** Records in one signal, as far as they fit into one. */
const BATCH_RECORDS = 100;

type Waiting = HostSignal & {
  onSent?: () => void;
  onRefused?: OnRefused | undefined;
};

/** Opens a link over `send`. `onGone` is called once when the workflow is no longer running. */
export function openWorkflowLink(send: SendSignal, log: Log, onGone: () => void): WorkflowLink {
  const closed = new AbortController();
  let waiting: Waiting[] = [];
  /** The newest report: what is to be said beside goes with it, to a workflow that knows it by its number. */
  let last: SessionReport | null = null;
  /** A report that has nothing but what each must have. */
  let bare: unknown = null;
  const unsaid: string[] = [];
  let sending = false;
  let records: PermissionRecord[] = [];
  let batchTimer: NodeJS.Timeout | undefined;

  const enqueue = (next: HostSignal, onRefused?: OnRefused) => {
    if (closed.signal.aborted) return;
    const each = next.name === 'sessionChanged' ? newest(next.argument) : next;
    waiting.push({ ...each, onRefused });
    if (!sending) void sendAll();
  };

  /** One report in the place of those that were not sent yet. */
  function newest(report: SessionReport): HostSignal {
    const old = waiting.flatMap((each, i) =>
      each.name === 'sessionChanged' && !(sending && i === 0) ? [each] : [],
    );
    waiting = waiting.filter((each) => !old.some((other) => other === each));
    const argument = merged([...old.map((each) => each.argument), report], unsaid.splice(0));
    const { warning: _, warnings: __, ...rest } = argument;
    last = rest;
    return { name: 'sessionChanged', argument };
  }

  async function sendAll(): Promise<void> {
    sending = true;
    let retryMs = FIRST_RETRY_MS;
    while (!closed.signal.aborted) {
      const next = waiting[0];
      if (!next) break;
      try {
        const result = await send(next.name, next.argument);
        waiting.shift();
        next.onSent?.();
        retryMs = FIRST_RETRY_MS;
        if (result === 'sent') continue;
        onGone();
        break;
      } catch (error) {
        // Those behind it must not wait for what never arrives.
        if (error instanceof TaskError && error.code === 'BadInput') {
          log.error({ signal: next.name, reason: error.message }, 'signal.refused');
          waiting.shift();
          next.onRefused?.(error.message);
          if (next.name !== 'sessionChanged') reportRefused(next, error.message);
          // Its optional parts may be what is refused; what is said of that is not said of itself.
          else if (next.argument !== bare) reportRefused(next, error.message, true);
          continue;
        }
        log.warn({ signal: next.name, reason: reasonOf(error) }, 'signal.retry');
        await delay(retryMs, closed.signal);
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
      }
    }
    sending = false;
  }

  function reportRefused(each: HostSignal, reason: string, isReport = false): void {
    unsaid.push(`The signal ${nameOf(each)} did not reach the task${MEANS[each.name] ?? ''}: ${reason}`);
    if (!last) return;
    if (isReport) last = withoutMore(last);
    enqueue({ name: 'sessionChanged', argument: last });
    if (isReport) bare = waiting.at(-1)!.argument;
  }

  function flush(): void {
    clearTimeout(batchTimer);
    batchTimer = undefined;
    while (records.length > 0) {
      // One alone is always small enough.
      const fit = countWithin(records.slice(0, BATCH_RECORDS), BUDGETS.signal);
      enqueue({ name: 'permissionsRecorded', argument: records.splice(0, Math.max(fit, 1)) });
    }
  }

  return {
    permissionsRecorded(more) {
      if (closed.signal.aborted) return;
      records.push(...more);
      if (records.length >= BATCH_RECORDS) flush();
      else batchTimer ??= setTimeout(flush, BATCH_MS);
    },
    flush,
    told(requestId) {
      const each = waiting.find(
        ({ name, argument }) => name === 'permissionRequested' && argument.requestId === requestId,
      );
      if (!each || closed.signal.aborted) return Promise.resolve();
      return new Promise((resolve, reject) => {
        const fail = () => reject(new Error(`Temporal does not have request ${requestId} yet`));
        const timer = setTimeout(fail, TOLD_MS);
        each.onSent = () => (clearTimeout(timer), resolve());
        closed.signal.addEventListener('abort', () => (clearTimeout(timer), fail()), { once: true });
      });
    },
    permissionRequested: (argument, onRefused) =>
      enqueue({ name: 'permissionRequested', argument }, onRefused),
    permissionSettled: (argument) => enqueue({ name: 'permissionSettled', argument }),
    hostRestarted: (argument) => enqueue({ name: 'hostRestarted', argument }),
    hookRequested: (argument, onRefused) => enqueue({ name: 'hookRequested', argument }, onRefused),
    sessionChanged: (argument) => enqueue({ name: 'sessionChanged', argument }),
    close() {
      clearTimeout(batchTimer);
      records = [];
      closed.abort();
    },
  };
}

/** Only the newest counts, with what only an earlier one tells, and with each warning. */
function merged(reports: readonly SessionReport[], more: readonly string[]): SessionReport {
  if (reports.length === 1 && more.length === 0) return reports[0]!;
  const inOrder = reports.toSorted((a, b) => a.revision - b.revision);
  const said = inOrder.flatMap(({ warning, warnings = [] }) => [...warnings, ...(warning ? [warning] : [])]);
  const warnings = [...new Set([...said, ...more])];
  const { warning: _, ...newest } = Object.assign({}, ...inOrder) as SessionReport;
  return { ...newest, ...(warnings.length > 0 && { warnings }) };
}

const withoutMore = ({ assignmentId, revision, activity, threadId, model, turns, usage }: SessionReport) => ({
  ...(assignmentId !== undefined && { assignmentId }),
  revision,
  activity,
  threadId,
  model,
  turns,
  usage,
});

/** What becomes of that for which an answer is awaited. */
const MEANS: Partial<Record<keyof HostSignals, string>> = {
  permissionRequested: ', and was denied',
  hookRequested: ', and was answered so',
};

/** A request or hook request with its id. */
function nameOf({ name, argument }: HostSignal): string {
  if (name === 'permissionRequested' || name === 'permissionSettled') return `${name} ${argument.requestId}`;
  return name === 'hookRequested' ? `${name} ${argument.id}` : name;
}

function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}

import { setCurrentDetails, uuid4, workflowInfo } from '@temporalio/workflow';
import { BUDGETS, cutText } from '../budgets/budgets.js';
import { boundReport } from '../budgets/bound-report.js';
import * as contract from '../contract/index.js';
import { answerSignals } from './message-handlers.js';
import { describe } from './current-details.js';
import { noteEpoch } from './lease-epoch.js';
import { openOutbox } from './outbox.js';
import { openPermissionRequests } from './permission-requests.js';
import { upsertChanged } from './shown-attributes.js';
import { boundStatus, changed, withNewWarnings, withWarnings } from './status-budget.js';
import type { TaskSpec } from '../contract/task-spec.js';
import { carryEnding, endingFrom } from './ending.js';
import { CARRIED_VERSION } from './task-state.js';
import type { CarriedTask } from './task-state.js';
import { openPendingHookRequests } from './pending-hook-requests.js';
import type { Task } from './task.js';

/** Opens the task's state and answers signals, queries and the update from now on. */
export function openTask(spec: TaskSpec, carried?: CarriedTask): Task {
  const { workflowId: taskId, firstExecutionRunId: runId } = workflowInfo();
  const outbox = openOutbox(() => task.closing, uuid4, carried?.outbox);
  const refused = (why: string) => task.warn(why);
  const permissions = openPermissionRequests(
    spec.approvals,
    (decision) => outbox.decision(decision),
    refused,
    carried?.permissions,
  );
  // The server keeps the summary of the start with the first run; the memo goes along.
  const given = carried && workflowInfo().memo?.['summary'];
  const summary = typeof given === 'string' ? cutText(given, BUDGETS.staticSummary) : null;
  let status: Readonly<contract.TaskStatus> = carried?.status ?? {
    state: 'waiting-for-credential',
    taskId,
    threadId: null,
    host: null,
    listener: null,
    model: spec.model,
    seedId: null,
    quarantineId: null,
    pending: [],
    turns: 0,
    usage: contract.NO_USAGE,
    controls: [],
    decidedByRule: { allow: 0, deny: 0 },
    warnings: [],
    ...(spec.ui && { ui: spec.ui }),
  };
  let phase: contract.TaskState = carried?.phase ?? 'waiting-for-credential';
  const shown: Record<string, string | null> = { ...carried?.shown };
  const hookRequests = openPendingHookRequests(carried?.hookRequests);
  const waits = new Set<{ what: string }>();
  let asksSince: number | null = null;
  let newest = carried?.newest ?? { assignmentId: '', revision: 0 };
  /** The open requests's version that `status.pending` shows. */
  let pendingOf = -1;

  const task: Task = {
    spec,
    ref: { taskId, runId, assignmentId: carried?.assignmentId ?? uuid4() },
    permissions,
    hookRequests,
    get status() {
      return status;
    },
    expectedBackAt: carried?.expectedBackAt ?? 0,
    mayAdopt: carried === undefined,
    evicted: carried?.evicted ?? false,
    codexStarted: carried?.codexStarted ?? false,
    claimRefused: null,
    lastRetryAt: 0,
    activity: carried?.activity ?? 'idle',
    lastEventId: carried?.lastEventId ?? 0,
    moved: carried?.moved ?? null,
    result: carried?.result ?? { finalMessage: null },
    searchAttributes: carried?.searchAttributes ?? false,
    closing: carried?.closing ?? false,
    isOver: carried?.ending != null,
    overdue: false,
    reachedBeforeExecute: carried?.reachedBeforeExecute ?? false,
    refreshing: carried?.refreshing ?? (spec.resume !== null && spec.hooks.onResumeRefresh !== undefined),
    ending: carried?.ending ? endingFrom(carried.ending) : null,
    seedTold: carried?.seedTold ?? false,
    keptSpec: carried?.keptSpec ?? null,
    keptInput: carried?.keptInput ?? null,
    hostRestarts: carried?.hostRestarts ?? 0,
    seedAvailableCount: 0,
    startedAtMs: carried?.startedAtMs ?? Date.now(),
    waitsSinceMs: carried?.waitsSinceMs ?? null,
    assignment: carried?.assignment ?? null,
    activitiesBegun: 0,
    refusals: carried?.refusals ?? [],
    vain: carried?.vain ?? 0,
    carry: () => ({
      version: CARRIED_VERSION,
      from: workflowInfo().runId,
      startedAtMs: task.startedAtMs,
      waitsSinceMs: task.waitsSinceMs,
      assignment: task.assignment,
      assignmentId: task.ref.assignmentId,
      refusals: task.refusals,
      vain: task.vain,
      phase,
      status: carriedStatus(),
      result: task.result,
      searchAttributes: task.searchAttributes,
      shown,
      hostRestarts: task.hostRestarts,
      expectedBackAt: task.expectedBackAt,
      evicted: task.evicted,
      codexStarted: task.codexStarted,
      lastEventId: task.lastEventId,
      moved: task.moved,
      newest,
      activity: task.activity,
      closing: task.closing,
      outbox: task.outbox.carry(),
      hookRequests: hookRequests.carry(),
      reachedBeforeExecute: task.reachedBeforeExecute,
      refreshing: task.refreshing,
      ending: task.ending && carryEnding(task.ending),
      seedTold: task.seedTold,
      spec: { ...spec, ui: null },
      keptSpec: task.keptSpec,
      keptInput: task.keptInput,
      permissions: permissions.carry(),
    }),
    outbox,
    enter(state) {
      phase = state;
      task.show();
    },
    report(report) {
      const bounded = boundReport(report);
      const { assignmentId, revision, leaseEpoch, activity, warnings = [], warning, ...rest } = bounded;
      if (warning !== undefined) task.warn(warning);
      // What went wrong did, however late it is heard of.
      task.warnOnce(warnings);
      // Each host counts for itself: what an earlier one says late does not count any more.
      const { assignmentId: present } = task.ref;
      if ((assignmentId ?? present) !== present) return;
      if (newest.assignmentId === present && revision <= newest.revision) return;
      newest = { assignmentId: present, revision };
      if (leaseEpoch !== undefined) noteEpoch(task, leaseEpoch);
      task.activity = activity;
      task.update(rest);
      if (MOVED_BY_REPORTS.has(phase)) phase = activity;
      task.show();
    },
    show() {
      if (pendingOf !== permissions.version) task.update({ pending: [...permissions.open.values()] });
      pendingOf = permissions.version;
      const asks = status.pending.length > 0 && (phase === 'running' || phase === 'idle');
      task.update({ state: asks ? 'waiting-for-permission' : phase });
      setCurrentDetails(describe(status, summary));
      asksSince = asks ? (asksSince ?? Date.now()) : null;
      const isShort = asksSince !== null && Date.now() - asksSince < contract.SHORT_WAIT_MS;
      if (task.searchAttributes)
        upsertChanged(isShort ? { ...status, state: phase } : status, shown, task.searchAttributes);
    },
    update: (change) => void (status = changed(status, change)),
    warn: (text) => task.update({ warnings: withWarnings(status.warnings, [text]) }),
    warnOnce: (texts) => task.update({ warnings: withNewWarnings(status.warnings, texts) }),
    waitFor(what) {
      const wait = { what };
      const tell = () => {
        const [oldest] = waits;
        task.update({ waitingFor: oldest?.what });
        task.show();
      };
      waits.add(wait);
      tell();
      return () => {
        waits.delete(wait);
        tell();
      };
    },
  };

  answerSignals(task);
  if (carried) task.show();
  return task;

  /** Open requests are carried by `permissions`; waits are registered again in the next run. */
  function carriedStatus(): contract.TaskStatus {
    const { waitingFor: _, ...rest } = status;
    return boundStatus({ ...rest, pending: [] });
  }
}

/** States that the host's word moves on. */
const MOVED_BY_REPORTS = new Set<contract.TaskState>(['starting', 'idle', 'running', 'recovering']);

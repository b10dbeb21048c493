import { setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import { boundReport } from '../budgets/bound-report.js';
import type { TaskRef } from '../contract/activities.js';
import * as contract from '../contract/index.js';
import type { TaskSpec } from '../contract/task-spec.js';
import type { Assignment } from './assignment.js';
import { describe } from './current-details.js';
import { noteEpoch } from './lease-epoch.js';
import type { Outbox } from './outbox.js';
import type { PendingHookRequests } from './pending-hook-requests.js';
import type { PermissionRequests } from './permission-requests.js';
import { upsertChanged } from './shown-attributes.js';
import { changed, type StatusChange, withNewWarnings, withWarnings } from './status-budget.js';
import type { WorkflowState } from './task-state.js';

/** Parts that own a part of the state and keep it up to date. */
export interface TaskParts {
  /** Requests that wait for a decision. */
  readonly permissions: PermissionRequests;
  /** Hook requests of the host. */
  readonly hookRequests: PendingHookRequests;
  /** Items still to be delivered to the host. */
  readonly outbox: Outbox;
}

/** State of this run of the workflow alone, which the next one starts without. */
export interface ThisRun {
  /** No assignment of this run has begun: an assignment of an earlier run may continue. */
  mayAdopt: boolean;
  /** Activities that this run started. */
  activitiesBegun: number;
  /** How often a worker reported a free seed for the task. */
  seedAvailableCount: number;
  /** `limits.totalMs` is over. */
  isOverdue: boolean;
  /** Takes the reason of a host that may not take the task, while it claims one. */
  claimRefused: ((refusal: contract.ClaimRefused) => void) | null;
}

/**
 * Everything the workflow knows of its task. Signals and results of activities write into it, and the workflow reads
 * it.
 */
export class Task {
  readonly spec: TaskSpec;
  readonly state: WorkflowState;
  readonly permissions: PermissionRequests;
  readonly hookRequests: PendingHookRequests;
  readonly outbox: Outbox;
  readonly run: ThisRun;
  /** The summary of the task, where Temporal's UI does not show it itself. */
  readonly #summary: string | null;
  readonly #waits = new Set<{ what: string }>();
  #asksSince: number | null = null;
  /** The version of the open requests that the status shows. */
  #shownRequests = -1;

  constructor(
    spec: TaskSpec,
    state: WorkflowState,
    { permissions, hookRequests, outbox }: TaskParts,
    { mayAdopt, summary }: { mayAdopt: boolean; summary: string | null },
  ) {
    this.spec = spec;
    this.state = state;
    this.permissions = permissions;
    this.hookRequests = hookRequests;
    this.outbox = outbox;
    this.run = { mayAdopt, activitiesBegun: 0, seedAvailableCount: 0, isOverdue: false, claimRefused: null };
    this.#summary = summary;
  }

  /** Names the task and its assignment for hosts. */
  get ref(): TaskRef {
    return this.refOf(this.state.assignment);
  }

  /** The same in another assignment. */
  refOf({ assignmentId }: Assignment): TaskRef {
    return { taskId: this.spec.taskId, runId: workflowInfo().firstExecutionRunId, assignmentId };
  }

  /** Changes the phase and shows it. */
  enter(phase: contract.TaskState): void {
    this.state.phase = phase;
    this.show();
  }

  /** Changes the status; people see it at the next `show`. */
  update(change: StatusChange): void {
    this.state.status = changed(this.state.status, change);
  }

  /** Takes over a report of the host. */
  report(report: contract.SessionReport): void {
    const { state } = this;
    const { assignment } = state;
    const bounded = boundReport(report);
    const { assignmentId, revision, leaseEpoch, activity, warnings = [], warning, ...rest } = bounded;
    if (warning !== undefined) this.warn(warning);
    // Counts errors however late they arrive.
    this.warnOnce(warnings);
    // Each host counts for itself: late reports of an earlier one are ignored.
    if (assignmentId !== undefined && assignmentId !== assignment.assignmentId) return;
    if (revision <= assignment.lastRevision) return;
    assignment.lastRevision = revision;
    if (leaseEpoch !== undefined) noteEpoch(assignment, leaseEpoch);
    assignment.activity = activity;
    this.update(rest);
    if (MOVED_BY_REPORTS.has(state.phase)) state.phase = activity;
    this.show();
  }

  /** Shows the state in the query `state`, the search attributes and the details. */
  show(): void {
    const { permissions } = this;
    const { phase, searchAttributes, publishedAttributes } = this.state;
    if (this.#shownRequests !== permissions.version) this.update({ pending: [...permissions.open.values()] });
    this.#shownRequests = permissions.version;
    const asks = this.state.status.pending.length > 0 && (phase === 'running' || phase === 'idle');
    this.update({ state: asks ? 'waiting-for-permission' : phase });
    const { status } = this.state;
    setCurrentDetails(describe(status, this.#summary));
    this.#asksSince = asks ? (this.#asksSince ?? Date.now()) : null;
    const isShort = this.#asksSince !== null && Date.now() - this.#asksSince < contract.SHORT_WAIT_MS;
    if (searchAttributes)
      upsertChanged(isShort ? { ...status, state: phase } : status, publishedAttributes, searchAttributes);
  }

  /** Adds to `status.warnings`, of which the newest are kept, each within a limit. */
  warn(text: string): void {
    this.update({ warnings: withWarnings(this.state.status.warnings, [text]) });
  }

  /** As `warn`, for what a host may report again: it counts once. */
  warnOnce(texts: readonly string[]): void {
    this.update({ warnings: withNewWarnings(this.state.status.warnings, texts) });
  }

  /** Shows what the task waits for; the returned function ends that. */
  waitFor(what: string): () => void {
    const wait = { what };
    const tell = () => {
      const [oldest] = this.#waits;
      this.update({ waitingFor: oldest?.what });
      this.show();
    };
    this.#waits.add(wait);
    tell();
    return () => {
      this.#waits.delete(wait);
      tell();
    };
  }
}

/** Phases that a report of the host changes. */
const MOVED_BY_REPORTS = new Set<contract.TaskState>(['starting', 'idle', 'running', 'recovering']);

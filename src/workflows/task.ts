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
import type { TaskState } from './task-state.js';

/** What answers for a part of the state, and keeps it up to date. */
export interface TaskParts {
  /** Requests that wait for a decision. */
  readonly permissions: PermissionRequests;
  /** What the host asks hooks. */
  readonly hookRequests: PendingHookRequests;
  /** What is still to be delivered to the host. */
  readonly outbox: Outbox;
}

/** What is known of this run of the workflow alone: the next one begins without it. */
export interface ThisRun {
  /** No assignment of this run has begun: one that a run before it left may go on. */
  mayAdopt: boolean;
  /** Activities that this run began. */
  activitiesBegun: number;
  /** How often a worker said that a seed is free for the task. */
  seedAvailableCount: number;
  /** `limits.totalMs` is over. */
  isOverdue: boolean;
  /** Takes the word of a host that may not take the task, while it claims one. */
  claimRefused: ((refusal: contract.ClaimRefused) => void) | null;
}

/** Everything the workflow knows of its task. Signals write into it, the activities' results too; the life reads it. */
export class Task {
  readonly spec: TaskSpec;
  readonly state: TaskState;
  readonly permissions: PermissionRequests;
  readonly hookRequests: PendingHookRequests;
  readonly outbox: Outbox;
  readonly run: ThisRun;
  /** What the task was started for, where Temporal's UI does not show it itself. */
  readonly #summary: string | null;
  readonly #waits = new Set<{ what: string }>();
  #asksSince: number | null = null;
  /** The version of the open requests that the status shows. */
  #shownRequests = -1;

  constructor(
    spec: TaskSpec,
    state: TaskState,
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

  /** Names the task in its assignment, for hosts. */
  get ref(): TaskRef {
    return this.refOf(this.state.assignment);
  }

  /** The same in another assignment. */
  refOf({ assignmentId }: Assignment): TaskRef {
    return { taskId: this.spec.taskId, runId: workflowInfo().firstExecutionRunId, assignmentId };
  }

  /** Moves on, and shows it. */
  enter(phase: contract.TaskState): void {
    this.state.phase = phase;
    this.show();
  }

  /** Changes what the status says; people see it at the next `show`. */
  update(change: StatusChange): void {
    this.state.status = changed(this.state.status, change);
  }

  /** Takes over what the host reported. */
  report(report: contract.SessionReport): void {
    const { state } = this;
    const { assignment } = state;
    const bounded = boundReport(report);
    const { assignmentId, revision, leaseEpoch, activity, warnings = [], warning, ...rest } = bounded;
    if (warning !== undefined) this.warn(warning);
    // What went wrong did, however late it is heard of.
    this.warnOnce(warnings);
    // Each host counts for itself: what an earlier one says late does not count any more.
    if (assignmentId !== undefined && assignmentId !== assignment.assignmentId) return;
    if (revision <= assignment.lastRevision) return;
    assignment.lastRevision = revision;
    if (leaseEpoch !== undefined) noteEpoch(assignment, leaseEpoch);
    assignment.activity = activity;
    this.update(rest);
    if (MOVED_BY_REPORTS.has(state.phase)) state.phase = activity;
    this.show();
  }

  /** Shows what the task knows in the query `state`, the search attributes and the details. */
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

  /** Adds to `status.warnings`, of which the newest are kept, each with a limit. */
  warn(text: string): void {
    this.update({ warnings: withWarnings(this.state.status.warnings, [text]) });
  }

  /** As `warn`, for what a host may say again: it counts once. */
  warnOnce(texts: readonly string[]): void {
    this.update({ warnings: withNewWarnings(this.state.status.warnings, texts) });
  }

  /** Says what the task waits for; returns the end of that. */
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

/** Phases that the host's word moves on. */
const MOVED_BY_REPORTS = new Set<contract.TaskState>(['starting', 'idle', 'running', 'recovering']);

import { randomUUID } from 'node:crypto';
import { SingleFlight } from '../../async/single-flight.js';
import { Notifier } from '../../async/notifier.js';
import { KeyedQueue } from '../../async/keyed-queue.js';
import type { CredentialState, LeaseRef, TaskRef } from '../../contract/activities.js';
import { TaskError } from '../../errors.js';
import type { AccountTurns } from './account-ports.js';
import type { LiveSession } from './live-session.js';
import type { Losses } from '../../task-folder/ledger.js';
import { folderNameOf } from '../../task-folder/folder-name.js';
import type { PreparedTask } from './prepared-task.js';

/** How long a claimed place is kept for a task that does not come. Milliseconds. */
const CLAIM_LAPSES_MS = 60_000;

/** A task on this host, from its claim until its folder is gone. */
export type HostTask = { readonly ref: TaskRef; readonly stopping: AbortController } & (
  | { kind: 'claimed'; lapse: NodeJS.Timeout }
  /** `parked`: it had a session and waits for quota; `unparked`: it has quota again, and no Codex yet. */
  | { kind: 'prepared'; parked?: boolean; unparked?: boolean; prepared: PreparedTask }
  | { kind: 'live'; prepared: PreparedTask; session: LiveSession; mounted: boolean; losses?: Losses }
  /** Codex crashed: it is restarted, or could not be. */
  | { kind: 'recovering'; prepared: PreparedTask; mounted: boolean; failed: TaskError | null }
  /** An earlier worker was ending it: Codex is gone, and the rest has to be done. */
  | { kind: 'ending'; prepared: PreparedTask; mounted: true }
);

/** The tasks of this host, at most `max` at once. Activities of one task run one after another. */
export class HostTasks implements AccountTurns {
  readonly startId = randomUUID();
  private readonly tasks = new Map<string, HostTask>();
  readonly leaseTurns = new KeyedQueue();
  readonly saveTurns = new KeyedQueue();
  private readonly steps = new KeyedQueue();
  private readonly flights = new SingleFlight<void>();
  private readonly leaving = new Set<string>();
  private readonly held = new Set<string>();
  private readonly watches = new Map<string, { over: AbortController; lease: LeaseRef }>();
  private readonly lost = new Map<string, { assignmentId: string; error: TaskError }>();
  private readonly changes = new Notifier();
  private draining = false;
  private readonly detaching = new AbortController();

  constructor(private readonly max: number) {}

  get size(): number {
    return this.tasks.size;
  }

  /** The task with this id in whatever assignment. */
  find(taskId: string): HostTask | undefined {
    return this.tasks.get(taskId);
  }

  /**
   * Reserves the folder of this name for work of this process that is no task, until the returned function is called.
   * Call it before the folder is made; release it when nothing of it is left or another part is to clean it up.
   */
  holdFolder(name: string): () => void {
    this.held.add(name);
    return () => void this.held.delete(name);
  }

  /** Whether the folder of this name is, or will be, in use by one of the tasks or by other work of this process. */
  hasFolder(name: string): boolean {
    if (this.held.has(name)) return true;
    for (const taskId of this.tasks.keys()) if (folderNameOf(taskId) === name) return true;
    return false;
  }

  /** @throws TaskError `SessionNotHere` when this assignment of the task is not live here */
  live(ref: TaskRef): Extract<HostTask, { kind: 'live' }> {
    const task = this.tasks.get(ref.taskId);
    const lost = this.lossOf(ref);
    if (lost && task?.stopping.signal.aborted) throw lost;
    if (task?.kind === 'live' && task.ref.assignmentId === ref.assignmentId) return task;
    if (task?.kind === 'recovering' && task.failed && task.ref.assignmentId === ref.assignmentId)
      throw task.failed;
    if (lost) throw lost;
    throw new TaskError('SessionNotHere', `Task ${ref.taskId} has no session on this host`);
  }

  /**
   * The task when its codex is not just being started again.
   * @throws as `live` does; the signal's reason when aborted
   */
  async whenLive(ref: TaskRef, signal: AbortSignal): Promise<Extract<HostTask, { kind: 'live' }>> {
    const isRecovering = (task?: HostTask) =>
      task?.kind === 'recovering' &&
      task.ref.assignmentId === ref.assignmentId &&
      task.failed === null &&
      // A lost task that was stopped is not started again.
      !(task.stopping.signal.aborted && this.lossOf(ref));
    while (isRecovering(this.tasks.get(ref.taskId))) {
      signal.throwIfAborted();
      await this.whenChanged(signal);
    }
    return this.live(ref);
  }

  /** From now on requests for this assignment of the task get the reason why it is not here. */
  noteLost({ taskId, assignmentId }: TaskRef, error: TaskError): void {
    this.lost.set(taskId, { assignmentId, error });
  }

  /** Why this assignment of the task may not continue here; null: nothing is known. */
  lossOf({ taskId, assignmentId }: TaskRef): TaskError | null {
    const lost = this.lost.get(taskId);
    return lost?.assignmentId === assignmentId ? lost.error : null;
  }

  /** Forgets the loss: the task may be here again. */
  forgetLoss(ref: TaskRef): void {
    if (this.lossOf(ref)) this.lost.delete(ref.taskId);
  }

  /** As `noteLost`, for a task that is still here and moves. */
  noteLeaving(ref: TaskRef, error: TaskError): void {
    this.leaving.add(ref.taskId);
    this.noteLost(ref, error);
  }

  /** Whether the task is on its way to another host. */
  isLeaving(taskId: string): boolean {
    return this.leaving.has(taskId);
  }

  all(): HostTask[] {
    return [...this.tasks.values()];
  }

  /** Whether `reserved` further tasks find a place. */
  hasRoom(reserved: number): boolean {
    return !this.draining && this.tasks.size + reserved <= this.max;
  }

  /** Resolves when a place may have become free. @throws the signal's reason when aborted, before the call too */
  whenChanged(signal: AbortSignal): Promise<void> {
    return this.changes.wait(signal);
  }

  /** Wakes waiters for a place. */
  changed(): void {
    this.changes.notifyAll();
  }

  /** Grants no more claims from now on. */
  drain(): void {
    this.draining = true;
  }

  /**
   * Keeps a place; it lapses unless the task is prepared in time. Idempotent.
   * @throws TaskError `Unavailable` while another assignment of the task is here
   */
  claim(ref: TaskRef): void {
    const known = this.tasks.get(ref.taskId);
    if (known && known.kind !== 'claimed') {
      // Its activities still have to be told what it lost meanwhile.
      if (known.ref.assignmentId === ref.assignmentId) return;
      throw new TaskError('Unavailable', `Task ${ref.taskId} is still here in an earlier assignment`);
    }
    this.lost.delete(ref.taskId);
    if (known) clearTimeout(known.lapse);
    const lapse = setTimeout(() => this.remove(ref.taskId), CLAIM_LAPSES_MS).unref();
    this.tasks.set(ref.taskId, { kind: 'claimed', ref, lapse, stopping: new AbortController() });
  }

  /** A place whose task is being prepared lapses later. */
  keepClaim(ref: TaskRef): void {
    const known = this.tasks.get(ref.taskId);
    if (known?.kind === 'claimed' && known.ref.assignmentId === ref.assignmentId) known.lapse.refresh();
  }

  set(task: HostTask): void {
    const known = this.tasks.get(task.ref.taskId);
    if (known?.kind === 'claimed') clearTimeout(known.lapse);
    this.tasks.set(task.ref.taskId, task);
    if (known?.kind === 'recovering') this.changed();
  }

  remove(taskId: string): void {
    const known = this.tasks.get(taskId);
    if (known?.kind === 'claimed') clearTimeout(known.lapse);
    this.endWatch(taskId);
    this.leaving.delete(taskId);
    this.tasks.delete(taskId);
    this.changed();
  }

  /** Starts a watch over the task's account and ends the one before; so does a removal. */
  takeWatch(taskId: string, lease: LeaseRef): { readonly signal: AbortSignal; end(): void } {
    this.endWatch(taskId);
    const watch = { over: new AbortController(), lease };
    this.watches.set(taskId, watch);
    const end = () => void (this.watches.get(taskId) === watch && this.watches.delete(taskId));
    return { signal: watch.over.signal, end };
  }

  /** Whether this lease of the task is watched. */
  isWatched(taskId: string, lease: LeaseRef): boolean {
    return this.watches.get(taskId)?.lease === lease;
  }

  /** Ends the watch: the task's account was saved for the last time, or released. */
  endWatch(taskId: string): void {
    this.watches.get(taskId)?.over.abort();
    this.watches.delete(taskId);
  }

  get isDraining(): boolean {
    return this.draining;
  }

  /** The worker stops and leaves Codex running in every task. */
  detach(): void {
    this.draining = true;
    this.detaching.abort(
      new TaskError('HostDetached', 'Worker detached; tasks resume when the next worker starts on this host'),
    );
  }

  /** Aborts with a TaskError `HostDetached` when the worker stops without its tasks. */
  get detached(): AbortSignal {
    return this.detaching.signal;
  }

  tellAccount({ taskId, assignmentId }: TaskRef, state: CredentialState): void {
    const here = this.tasks.get(taskId);
    if (here?.kind !== 'live' || here.ref.assignmentId !== assignmentId) return;
    const { thread, link } = here.session;
    link.sessionChanged({ ...thread.report(), ...state });
  }

  /** Runs `act`, or shares the running call of this name. */
  shared(name: string, act: () => Promise<void>): Promise<void> {
    return this.flights.run(name, act);
  }

  /** Runs `step` after earlier activities of this task. */
  inTurn<T>(taskId: string, step: () => Promise<T>): Promise<T> {
    return this.steps.run(taskId, step);
  }
}

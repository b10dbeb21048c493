import type { CodexTaskInput } from './input.js';
import type { Deliverable, Outcome } from './result.js';
import type { PermissionRequest } from './permissions.js';

/**
 * What a task calls on its caller's own task queue: one activity each, named in `CodexTaskInput.hooks`, with one
 * argument. Every call may be repeated, so an activity must do the same when it is called twice.
 */
export interface HookArguments {
  /** Last step before codex starts, once in a task. When it fails the task does, with `HookFailed`. */
  beforeExecute: { taskId: string };
  /**
   * Once, after codex ended, its credential was saved and its host was released. Only after the place of
   * `beforeExecute`.
   */
  afterExecute: { taskId: string; outcome: ExecutionOutcome };
  /** A file that the agent delivered; its content is the blob. */
  onDeliverable: { taskId: string; blobId: string } & Deliverable;
  /** A line `CALLER_MESSAGE: keyword json` of the agent. */
  onCallerMessage: { taskId: string; keyword: string; message: unknown };
  /** A client stored a file in the workdir: its path below `work`, its size in bytes. */
  onUpload: { taskId: string; path: string; bytes: number };
  /** The seed that holds the task's credential from now on. Naming this hook turns the capture on. */
  onSeedSaved: { taskId: string; seedId: string; info: null };
  /** The input of a task that resumes, as it was given; before anything of it is done. */
  onResumeRefresh: { taskId: string; input: CodexTaskInput };
  /** An open request, as in `pendingPermissions`. What one of the task's rules decides is not shown. */
  onPermissionRequest: { taskId: string; request: PermissionRequest };
  /** Whenever the task needs a seed. */
  seedProvider: { taskId: string };
}

/** What a hook answers. Nothing means the same as `null`. */
export interface HookResults {
  beforeExecute: null;
  afterExecute: null;
  /** What is to be done better, told to the model; null, `''` and `'ok'` accept. */
  onDeliverable: string | null;
  /** A reply, told to the model. */
  onCallerMessage: string | null;
  onUpload: null;
  onSeedSaved: null;
  /** Fields that take the place of the input's own. */
  onResumeRefresh: RefreshedInput | null;
  /** `null` means `ask`: a person decides. */
  onPermissionRequest: { behavior: 'allow' | 'deny' | 'ask'; message?: string } | null;
  /** The id of a seed, used in place of `credential`; null leaves that as it is. */
  seedProvider: string | null;
}

export type ExecutionOutcome = Outcome | 'failed' | 'cancelled';

/** What a resumed task may begin with instead. */
export type RefreshedInput = Pick<
  CodexTaskInput,
  'prompt' | 'instructions' | 'model' | 'effort' | 'sandbox' | 'codexConfig' | 'env' | 'passEnv' | 'files'
>;

/** A question or a notice of the host to the caller; the task does not end by itself before its answer. */
export type HookRequest = { id: string } & (
  | { kind: 'deliverable'; deliverable: Deliverable & { blobId: string } }
  | { kind: 'callerMessage'; keyword: string; message: unknown }
  | { kind: 'upload'; path: string; bytes: number }
);

/** The answer to a hook request, for the host. */
export interface HookRequestAnswer {
  id: string;
  /** Told to the model; null: nothing is. */
  text: string | null;
}

export type HookName =
  | 'beforeExecute'
  | 'afterExecute'
  | 'onDeliverable'
  | 'onCallerMessage'
  | 'onUpload'
  | 'onSeedSaved'
  | 'onResumeRefresh'
  | 'onPermissionRequest'
  | 'seedProvider';

/** The activity that serves a hook: `(argument: HookArguments[N]) => Promise<HookResults[N] | undefined>`. */
export interface HookTarget {
  taskQueue: string;
  activityType: string;
  /** Milliseconds that one attempt may take; default 10 minutes. */
  timeoutMs?: number | undefined;
  /** Milliseconds within which it must heartbeat; without it, it need not. */
  heartbeatMs?: number | undefined;
}

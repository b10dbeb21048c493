import { readModels, type Models } from '../../codex/models.js';
import { checkSandbox } from '../../codex/preflight.js';
import type { ThreadStartParams, ThreadStartResponse } from '../../codex/protocol.js';
import type { Rpc } from '../../codex/rpc.js';
import { RpcError } from '../../codex/rpc-errors.js';
import { TASK_PROFILE } from '../../codex/sandbox-profile.js';
import { TaskError } from '../../errors.js';
import { VERSION } from '../../version.js';
import type { PreparedTask } from '../model/prepared-task.js';

const CALL_MS = 30_000;
/** Codex looks at each place of a skill in the workdir through a sandbox of its own, one after another. */
const THREAD_MS = 60_000;
const INTERNAL_ERROR = -32603;

/** Notifications that codex is asked not to send. */
const NOT_WANTED = ['item/commandExecution/outputDelta'];

export interface OpenThread {
  readonly response: ThreadStartResponse;
  readonly models: Models;
}

/**
 * The handshake with a codex, its login where it has no credential of its own and has just started, the check of
 * its sandbox, and its thread.
 * @throws TaskError `CodexFailed` when the thread would not run under the task's permissions; `HostUnfit`
 */
export async function openThread(rpc: Rpc, task: PreparedTask, isNew: boolean): Promise<OpenThread> {
  const { spec, folder } = task;
  const options = { timeoutMs: CALL_MS };
  await rpc.call('initialize', HANDSHAKE, options);
  rpc.notify('initialized');
  if (isNew) await task.account.tokens?.login(rpc);
  if (spec.sandbox.mode !== 'danger-full-access') await checkSandbox(rpc, folder);
  const models = readModels(await rpc.call('model/list', {}, options).catch(() => null));
  const params = {
    cwd: folder.work,
    approvalPolicy: spec.approvals.policy,
    // Wins over any configuration file.
    approvalsReviewer: 'user' as const,
    ...(spec.model !== null && { model: spec.model }),
  };
  const response =
    (task.threadId === null ? null : await resumed(rpc, task.threadId, task.recalled, params)) ??
    (await rpc.call('thread/start', params, { timeoutMs: THREAD_MS }));
  const profile = response.activePermissionProfile?.id;
  const expected = spec.sandbox.mode === 'danger-full-access' ? ':danger-full-access' : TASK_PROFILE;
  // Codex ignores a config it cannot read as a whole, the profile that hides credentials with it.
  if (profile !== expected)
    throw new TaskError(
      'CodexFailed',
      `codex runs with permission profile ${profile ?? 'none'}, expected ${expected}`,
    );
  if (response.approvalsReviewer !== 'user')
    throw new TaskError(
      'CodexFailed',
      `codex lets ${response.approvalsReviewer ?? 'somebody unknown'} review requests, expected user`,
    );
  return { response, models };
}

/** The thread that the task had; null when Codex has no record of it, as before a first turn: a new one begins. */
async function resumed(
  rpc: Rpc,
  threadId: string,
  recalled: PreparedTask['recalled'],
  params: ThreadStartParams,
): Promise<ThreadStartResponse | null> {
  try {
    const wanted = { threadId, excludeTurns: true, ...params };
    return await rpc.call('thread/resume', wanted, { timeoutMs: THREAD_MS });
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    // Codex cannot read a record whose first lines were cut off by a kill.
    const isCut = error.code === INTERNAL_ERROR && recalled?.endedTurns.size === 0;
    if (isCut || /no rollout found/.test(error.message)) return null;
    throw error;
  }
}

const HANDSHAKE = {
  clientInfo: { name: 'codex_task_worker', title: 'codex-task-worker', version: VERSION },
  // Experimental: permission profiles, and cleaning up what an interrupt leaves running.
  capabilities: { experimentalApi: true, optOutNotificationMethods: NOT_WANTED },
};

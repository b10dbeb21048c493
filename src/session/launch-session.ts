import { setTimeout as delay } from 'node:timers/promises';
import type { TaskRef } from '../activities/arguments.js';
import { childEnvironment } from '../codex/child-environment.js';
import { lastLines } from '../codex/codex-log.js';
import { launchAppServer, type AppServer } from '../codex/launch.js';
import { readModels } from '../codex/models.js';
import { checkSandbox } from '../codex/preflight.js';
import type { ThreadStartResponse } from '../codex/protocol.js';
import { connectRpc, type Rpc } from '../codex/rpc.js';
import { reasonOf, TaskError } from '../errors.js';
import { isAlive } from '../host/process-identity.js';
import { stopProcess } from '../host/stop-process.js';
import { Conversation } from './conversation.js';
import type { HostContext } from './host-context.js';
import type { PreparedTask } from './prepare-task.js';
import { writeProcessRecord, type ProcessRecord } from './process-record.js';
import { openWorkflowLink, type WorkflowLink } from './workflow-link.js';

const CALL_MS = 30_000;
const CLEAN_MS = 5_000;
const LAST_LINES = 10;

/** A task whose codex runs and is connected. */
export interface LiveSession {
  readonly ref: TaskRef;
  readonly conversation: Conversation;
  readonly link: WorkflowLink;
  readonly record: ProcessRecord;
  readonly warnings: string[];
  /** From here on clients may read, not act. */
  closed: boolean;
  /** Stops codex gently; resolves when it and all it started are gone. Repeatable. */
  stop(): Promise<void>;
}

/**
 * Starts codex for a prepared task and opens its thread.
 * @throws TaskError `CodexFailed` with codex's last lines, `HostUnfit` when its sandbox does not hold
 */
export async function launchSession(
  host: HostContext,
  task: PreparedTask,
  signal: AbortSignal,
): Promise<LiveSession> {
  const { folder, spec, lease, ref } = task;
  const incarnation = task.ledger.past.filter((each) => each.t === 'process').length + 1;
  await task.ledger.write({ t: 'process', incarnation });
  const env = childEnvironment({
    workerEnv: host.env,
    home: folder.home,
    codexHome: folder.codexHome,
    passEnv: spec.passEnv,
    env: spec.env,
    ...('apiKeyEnv' in spec.credential && { apiKeyEnv: spec.credential.apiKeyEnv }),
  });
  let record: ProcessRecord | null = null;
  const server = await launchAppServer({
    binary: host.codex.path,
    workDir: folder.work,
    socketPath: folder.socket,
    env,
    logFile: folder.codexLog,
    signal,
    onSpawned: async (identity) => {
      record = {
        ...identity,
        socket: folder.socket,
        codexVersion: host.codex.version,
        taskId: ref.taskId,
        launchedAt: new Date().toISOString(),
        runId: ref.runId,
        hostId: host.hostId,
        ...lease,
        ...(task.savedAuth !== null && { savedSha256: task.savedAuth }),
      };
      await writeProcessRecord(folder, record);
    },
  });
  try {
    return await connectSession(host, task, server, record!, incarnation);
  } catch (error) {
    await stopProcess(server, { codexHome: folder.codexHome, socketPath: folder.socket });
    throw error instanceof TaskError ? error : new TaskError('CodexFailed', await failureText(task, error));
  }
}

async function connectSession(
  host: HostContext,
  task: PreparedTask,
  server: AppServer,
  record: ProcessRecord,
  incarnation: number,
): Promise<LiveSession> {
  const { journal, ledger, spec, folder, ref } = task;
  const log = host.log.child({ taskId: ref.taskId });
  const warnings: string[] = [];
  let conversation: Conversation | null = null;
  const rpc = await connectRpc(server.socketPath, {
    onNotification(method, params, raw) {
      if (method === 'configWarning') noteConfigWarning(params, warnings);
      if (conversation) conversation.onNotification(method, params, raw);
      else journal.append(raw);
    },
    onRequest(id, method, params) {
      if (conversation) conversation.onRequest(id, method, params);
      else rpc.respondError(id, -32601, `${method} is not handled here`);
    },
    onUnparseable: (line) => journal.append(JSON.stringify({ type: 'x-optio-unparseable', line })),
  });
  await rpc.call('initialize', HANDSHAKE, { timeoutMs: CALL_MS });
  rpc.notify('initialized');
  if (spec.sandbox.mode !== 'danger-full-access') await checkSandbox(rpc, folder);
  const models = readModels(await rpc.call('model/list', {}, { timeoutMs: CALL_MS }).catch(() => null));
  const thread = await openThread(rpc, task);
  await ledger.write({ t: 'thread', threadId: thread.thread.id, model: thread.model });
  const link = openWorkflowLink(
    (name, argument) => host.signalWorkflow(ref, name, argument),
    log,
    () => log.warn('workflow.gone'),
  );
  conversation = new Conversation({
    codex: rpc,
    journal,
    ledger,
    link,
    incarnation,
    mode: spec.mode,
    threadId: thread.thread.id,
    models,
    model: thread.model,
    effort: spec.effort,
    turnMs: spec.limits.turnMs,
    idleMs: spec.limits.idleMs,
  });
  if (spec.prompt !== null) await conversation.accept({ messageId: PROMPT_MESSAGE_ID, text: spec.prompt });
  return liveSession(host, task, rpc, server, record, conversation, link, warnings);
}

/** Id of the message that the input's `prompt` becomes. */
const PROMPT_MESSAGE_ID = 'prompt';

const HANDSHAKE = {
  clientInfo: { name: 'codex_task_worker', title: 'codex-task-worker', version: '0.1.0' },
  // Experimental: permission profiles, and cleaning up what an interrupt leaves running.
  capabilities: {
    experimentalApi: true,
    optOutNotificationMethods: ['item/commandExecution/outputDelta'],
  },
};

async function openThread(rpc: Rpc, { spec, folder }: PreparedTask): Promise<ThreadStartResponse> {
  const params = {
    cwd: folder.work,
    approvalPolicy: spec.approvals.policy,
    ...(spec.model !== null && { model: spec.model }),
  };
  const thread = (await rpc.call('thread/start', params, { timeoutMs: CALL_MS })) as ThreadStartResponse;
  const profile = thread.activePermissionProfile?.id;
  const expected = spec.sandbox.mode === 'danger-full-access' ? ':danger-full-access' : 'task';
  // Codex ignores a config it cannot read as a whole, the profile that hides credentials with it.
  if (profile !== expected)
    throw new TaskError(
      'CodexFailed',
      `codex runs with permission profile ${profile ?? 'none'}, expected ${expected}`,
    );
  return thread;
}

function noteConfigWarning(params: unknown, warnings: string[]): void {
  const summary = (params as { summary?: unknown } | null)?.summary;
  if (typeof summary === 'string' && !summary.includes('bubblewrap')) warnings.push(`codex: ${summary}`);
}

function liveSession(
  host: HostContext,
  task: PreparedTask,
  rpc: Rpc,
  server: AppServer,
  record: ProcessRecord,
  conversation: Conversation,
  link: WorkflowLink,
  warnings: string[],
): LiveSession {
  let stopped: Promise<void> | null = null;
  const session: LiveSession = {
    ref: task.ref,
    conversation,
    link,
    record,
    warnings,
    closed: false,
    stop() {
      session.closed = true;
      stopped ??= stop();
      return stopped;
    },
  };
  async function stop(): Promise<void> {
    await Promise.race([conversation.interrupt(), delay(CLEAN_MS)]);
    await stopProcess(server, { codexHome: task.folder.codexHome, socketPath: task.folder.socket });
    rpc.close('stopped');
    conversation.fail('CodexFailed', 'The session was stopped');
    link.close();
  }
  void rpc.closed.then(async (reason) => {
    if (stopped) return;
    const alive = await isAlive(server);
    host.log.warn({ taskId: task.ref.taskId, reason, alive }, 'codex.disconnected');
    conversation.fail('CodexFailed', await failureText(task, new Error(`codex app-server ended: ${reason}`)));
  });
  return session;
}

async function failureText(task: PreparedTask, error: unknown): Promise<string> {
  const lines = await lastLines(task.folder.codexLog, LAST_LINES, []).catch(() => '');
  return lines ? `${reasonOf(error)}; codex said: ${lines}` : reasonOf(error);
}

import { childEnvironment, secretsOf } from '../codex/child-environment.js';
import { trimLog } from '../codex/codex-log.js';
import { launchAppServer, type AppServer } from '../codex/launch.js';
import { connectRpc } from '../codex/rpc.js';
import { toWellFormed } from '../codex/well-formed.js';
import { TaskError } from '../errors.js';
import { stopProcess } from '../host/stop-process.js';
import { openCheckpoints } from './checkpoint.js';
import { catchUp, isCaughtUp } from './catch-up.js';
import { placeRules } from './changed-paths.js';
import { acceptOrReject } from './accept-or-reject.js';
import { Conversation } from './conversation.js';
import type { HostContext } from './host-context.js';
import { failureText, liveSession, type LiveSession } from './live-session.js';
import { openThread } from './open-thread.js';
import type { PreparedTask } from './prepare-task.js';
import { journalHistory } from './thread-history.js';
import { writeProcessRecord, type ProcessRecord } from './process-record.js';
import { openWorkflowLink, type SendSignal, type WorkflowLink } from './workflow-link.js';

export type { LiveSession } from './live-session.js';

/** Id of the message that the input's `prompt` becomes. */
const PROMPT_MESSAGE_ID = 'prompt';
const NETWORK_WARNING =
  'sandbox.network: commands also reach this host by loopback, a Temporal or MongoDB without a password too';
const NO_THREAD_WARNING = 'The snapshot holds no conversation: a new thread was started in its workdir';
/** A lost host may have started processes that nobody else knows of: each host counts from a number of its own. */
const PROCESSES_PER_STAY = 1_000;
/** Longest part of an unreadable line that is shown. */
const SHOWN_CHARS = 4_096;

/**
 * Starts codex for a prepared task and opens its thread. `link`: the one of a session whose place this one takes.
 * @throws TaskError `CodexFailed` with codex's last lines, `HostUnfit` when its sandbox does not hold
 */
export async function launchSession(
  host: HostContext,
  task: PreparedTask,
  signal: AbortSignal,
  link?: WorkflowLink,
): Promise<LiveSession> {
  const { folder } = task;
  const incarnation = Math.max(newestProcess(task), (task.moved?.stay ?? 0) * PROCESSES_PER_STAY) + 1;
  await task.ledger.write({ t: 'process', incarnation });
  const env = environmentOf(host, task);
  await host.right.whenHeld(signal);
  host.guard();
  let record: ProcessRecord | null = null;
  const server = await launchAppServer({
    binary: host.codex.path,
    workDir: folder.work,
    socketPath: folder.socket,
    env,
    logFile: folder.codexLog,
    signal,
    onSpawned: async (identity) => {
      record = recordOf(host, task, identity);
      await writeProcessRecord(folder, record);
    },
  });
  const secrets = secretsOf(env);
  try {
    return await connectSession(host, task, {
      server,
      record: record!,
      incarnation,
      secrets,
      isNew: true,
      ...(link && { link }),
    });
  } catch (error) {
    await stopProcess(server, { codexHome: folder.codexHome, socketPath: folder.socket });
    if (error instanceof TaskError) throw error;
    throw new TaskError('CodexFailed', await failureText(task, error, secrets), { cause: error });
  }
}

/**
 * Connects to the codex that an earlier worker left running.
 * @throws TaskError `CodexFailed` when it does not answer
 */
export function attachSession(
  host: HostContext,
  task: PreparedTask,
  record: ProcessRecord,
  link?: WorkflowLink,
): Promise<LiveSession> {
  if (task.lease) host.guard();
  const server = { pid: record.pid, startTime: record.startTime, socketPath: task.folder.socket };
  const secrets = secretsOf(environmentOf(host, task));
  return connectSession(host, task, {
    server,
    record,
    incarnation: newestProcess(task),
    secrets,
    isNew: false,
    ...(link && { link }),
  });
}

const newestProcess = ({ ledger }: PreparedTask) =>
  Math.max(0, ...ledger.past.map((each) => (each.t === 'process' ? each.incarnation : 0)));

const environmentOf = (host: HostContext, { folder, spec }: PreparedTask) =>
  childEnvironment({
    workerEnv: host.env,
    home: folder.home,
    codexHome: folder.codexHome,
    passEnv: spec.passEnv,
    env: spec.env,
    ...('apiKeyEnv' in spec.credential && { apiKeyEnv: spec.credential.apiKeyEnv }),
  });

interface Launched {
  /** Whether codex is a new process. */
  isNew: boolean;
  server: AppServer;
  record: ProcessRecord;
  incarnation: number;
  secrets: readonly string[];
  link?: WorkflowLink;
}

function recordOf(
  host: HostContext,
  { folder, ref, lease, savedAuth }: PreparedTask,
  identity: { pid: number; startTime: number },
): ProcessRecord {
  return {
    ...identity,
    socket: folder.socket,
    codexVersion: host.codex.version,
    taskId: ref.taskId,
    launchedAt: new Date().toISOString(),
    runId: ref.runId,
    hostId: host.hostId,
    ...lease,
    ...(savedAuth !== null && { savedSha256: savedAuth }),
  };
}

async function connectSession(
  host: HostContext,
  task: PreparedTask,
  { server, record, incarnation, secrets, isNew, link: earlier }: Launched,
): Promise<LiveSession> {
  const { journal, ledger, spec, folder, ref } = task;
  const log = host.log.child({ taskId: ref.taskId });
  const warnings = [...task.warnings, ...(spec.sandbox.network ? [NETWORK_WARNING] : [])];
  let conversation: Conversation | null = null;
  // What codex says before the conversation is ready waits for it, in order.
  let early: ((to: Conversation) => void)[] = [];
  const tell = (what: (to: Conversation) => void) => (conversation ? what(conversation) : early.push(what));
  const rpc = await connectRpc(server.socketPath, {
    onNotification(method, params, raw) {
      if (method === 'configWarning') noteConfigWarning(params, warnings);
      tell((to) => {
        const known = task.recalled && isCaughtUp(task.recalled, method, params);
        if (!known) to.onNotification(method, params, raw);
      });
    },
    onRequest: (id, method, params) => tell((to) => to.onRequest(id, method, params)),
    onUnparseable: (line) => journal.append(JSON.stringify(unparseable(line))),
  });
  try {
    const { thread, models } = await openThread(rpc, task);
    const { recalled } = task;
    if (!recalled && task.threadId !== null) {
      if (thread.thread.id === task.threadId) await journalHistory(rpc, task.threadId, journal);
      else warnings.push(NO_THREAD_WARNING);
    }
    await ledger.write({ t: 'thread', threadId: thread.thread.id, model: thread.model });
    const send: SendSignal = (name, argument) => host.signalWorkflow(ref, name, argument);
    const link = earlier ?? openWorkflowLink(send, log, () => log.warn('workflow.gone'));
    const checkpoints = openCheckpoints(host, task, thread.thread.id);
    const opened: Conversation = new Conversation({
      codex: rpc,
      journal,
      ledger,
      link,
      incarnation,
      mode: spec.mode,
      threadId: thread.thread.id,
      workDir: folder.work,
      models,
      model: thread.model,
      effort: thread.reasoningEffort ?? null,
      wantedEffort: spec.effort,
      rules: placeRules(spec.approvals.rules, folder.work),
      turnMs: spec.limits.turnMs,
      idleMs: spec.limits.idleMs,
      ...(recalled && { recalled }),
      async betweenTurns() {
        const warning = await checkpoints.take();
        if (warning !== null) link.sessionChanged({ ...opened.report(), warning });
      },
      onTurnEnded: () => void trimLog(folder.codexLog).catch(() => undefined),
    });
    if (recalled) await catchUp(rpc, thread.thread.id, opened, recalled, isNew);
    if (isNew) opened.dropEarlierRequests();
    conversation = opened;
    for (const what of early) what(opened);
    early = [];
    if (spec.prompt !== null) await opened.accept({ messageId: PROMPT_MESSAGE_ID, text: spec.prompt });
    await task.inbox.handOver((message) => acceptOrReject(opened, journal, message));
    const parts = { task, server, rpc, conversation: opened, link, checkpoints, record, warnings, secrets };
    return liveSession(parts);
  } catch (error) {
    rpc.close('not opened');
    throw error;
  }
}

function noteConfigWarning(params: unknown, warnings: string[]): void {
  const summary = (params as { summary?: unknown } | null)?.summary;
  if (typeof summary === 'string' && !summary.includes('bubblewrap')) warnings.push(`codex: ${summary}`);
}

function unparseable(line: string): Record<string, unknown> {
  const cut = line.length > SHOWN_CHARS;
  return {
    type: 'x-optio-unparseable',
    line: toWellFormed(cut ? line.slice(0, SHOWN_CHARS) : line),
    ...(cut && { truncated: true, characters: line.length }),
  };
}

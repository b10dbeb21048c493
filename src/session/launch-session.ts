import { join } from 'node:path';
import { childEnvironment, secretsOf } from '../codex/child-environment.js';
import { trimLog } from '../codex/codex-log.js';
import type { AppServer } from '../codex/launch.js';
import { launchStrictly } from '../codex/strict-launch.js';
import { connectRpc } from '../codex/rpc.js';
import { toWellFormed } from '../codex/well-formed.js';
import { TaskError } from '../errors.js';
import { secondsUntilStop, uptimeSeconds } from '../host/deadline.js';
import { stopProcess } from '../host/stop-process.js';
import { untilRenewed } from './account/renew-task-lease.js';
import { openCheckpoints } from './checkpoint.js';
import { catchUp, isCaughtUp } from './conversation/catch-up.js';
import { placeRules } from './snapshots/changed-paths.js';
import { openAgentChannel } from './errands/agent-channel.js';
import { announce, sandboxWarnings } from './conversation/sandbox-warnings.js';
import { acceptOrReject } from './conversation/accept-or-reject.js';
import { guardAccount, type AccountGuard } from './account/account-guard.js';
import { Conversation } from './conversation/conversation.js';
import { firstMessages } from './conversation/first-messages.js';
import type { HostContext } from './host-context.js';
import { openHostTokens, ownsTokens } from './account/host-tokens.js';
import { keepCheckpoints } from './snapshots/keep-checkpoints.js';
import { failureText, liveSession, type LiveSession } from './live-session.js';
import { openThread } from './conversation/open-thread.js';
import type { PreparedTask } from './prepared-task.js';
import { nothingRecalled, readEvents, type RecalledEvents } from './records/recall-events.js';
import { journalHistory } from './conversation/thread-history.js';
import { writeProcessRecord, type ProcessRecord } from './records/process-record.js';
import { openWorkflowLink, type SendSignal, type WorkflowLink } from './conversation/workflow-link.js';

export type { LiveSession } from './live-session.js';

const NO_THREAD_WARNING = 'The snapshot holds no conversation: a new thread was started in its workdir';
/** A lost host may have started processes that nobody else knows of: each host counts from a number of its own. */
const PROCESSES_PER_STAY = 1_000;
/** Longest part of an unreadable line that is shown. */
const SHOWN_CHARS = 4_096;

/**
 * Starts codex for a prepared task and opens its thread. `link`: the one of a session whose place this one takes.
 * @throws TaskError `CodexFailed` with codex's last lines, `HostUnfit` when its sandbox does not hold, `LeaseLost`,
 * `Unavailable` when the worker stood still meanwhile
 */
export async function launchSession(
  host: HostContext,
  task: PreparedTask,
  signal: AbortSignal,
  link?: WorkflowLink,
): Promise<LiveSession> {
  if (task.lease) await untilRenewed(host, task, task.lease, signal);
  const began = uptimeSeconds();
  try {
    return await launch(host, task, signal, link);
  } catch (error) {
    const lost = signal.aborted ? host.tasks.lossOf(task.ref) : null;
    if (lost) throw lost;
    const took = uptimeSeconds() - began;
    // A worker that stood still for so long: the guard has stopped what it launched, which is no fault of codex.
    if (!task.lease || signal.aborted || took < secondsUntilStop(host.leaseTtlMs)) throw error;
    throw new TaskError('Unavailable', `Codex did not start within its lease, but in ${took} s`, {
      cause: error,
    });
  }
}

async function launch(
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
  const warnings: string[] = [];
  const server = await launchStrictly({
    binary: host.codex.path,
    configToml: join(folder.codexHome, 'config.toml'),
    codexConfig: task.spec.codexConfig,
    warnings,
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
    const launched = {
      server,
      record: record!,
      incarnation,
      secrets,
      isNew: true,
      warnings,
      ...(link && { link }),
    };
    return await connectSession(host, task, launched);
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
    warnings: [],
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
  warnings: string[];
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
  { server, record, incarnation, secrets, isNew, warnings, link: earlier }: Launched,
): Promise<LiveSession> {
  const { journal, ledger, spec, folder, ref } = task;
  const log = host.log.child({ taskId: ref.taskId });
  warnings.push(...task.warnings, ...sandboxWarnings(spec.sandbox));
  let conversation: Conversation | null = null;
  // What codex says before the conversation is ready waits for it, in order.
  let early: ((to: Conversation) => void)[] = [];
  const tell = (what: (to: Conversation) => void) => (conversation ? what(conversation) : early.push(what));
  let account: AccountGuard | null = null;
  if (task.lease && ownsTokens(spec)) task.tokens ??= openHostTokens(host, ref.taskId, task.lease);
  const { tokens } = task;
  const fail = ({ code, message }: TaskError) => tell((to) => to.fail(code, message));
  const rpc = await connectRpc(server.socketPath, {
    onNotification(method, params, raw) {
      if (method === 'configWarning') noteConfigWarning(params, warnings);
      const pass = () =>
        tell((to) => {
          const known = task.recalled && isCaughtUp(task.recalled, method, params);
          if (!known) to.onNotification(method, params, raw);
        });
      if (account) account.seen(method, params, pass);
      else pass();
    },
    onRequest(id, method, params) {
      if (!tokens?.answer(rpc, { id, method, params }, fail)) tell((to) => to.onRequest(id, method, params));
    },
    onUnparseable: (line) => journal.append(JSON.stringify(unparseable(line))),
  });
  account = guardAccount(host, task, rpc, (code, message) => tell((to) => to.fail(code, message)));
  try {
    const { thread, models } = await openThread(rpc, task, isNew);
    const { recalled } = task;
    if (!recalled && task.threadId !== null) {
      if (thread.thread.id === task.threadId) await journalHistory(rpc, task.threadId, journal);
      else warnings.push(NO_THREAD_WARNING);
    }
    const seen = recalled ?? (await historyOf(task, thread.thread.id));
    if (incarnation === 1) announce(sandboxWarnings(spec.sandbox), journal);
    await ledger.write({ t: 'thread', threadId: thread.thread.id, model: thread.model });
    const send: SendSignal = (name, argument) => host.signalWorkflow(ref, name, argument);
    const link = earlier ?? openWorkflowLink(send, log, () => log.warn('workflow.gone'));
    const channel = openAgentChannel(task, host.store, log, (errand) => link.errand(errand));
    const checkpoints = openCheckpoints(host, task, thread.thread.id);
    const opened: Conversation = new Conversation({
      codex: account.codex,
      journal,
      ledger,
      link,
      incarnation,
      mode: spec.mode,
      threadId: thread.thread.id,
      workDir: folder.work,
      policy: spec.approvals.policy,
      models,
      model: thread.model,
      effort: thread.reasoningEffort ?? null,
      wantedEffort: spec.effort,
      rules: placeRules(spec.approvals.rules, folder.work),
      turnMs: spec.limits.turnMs,
      idleMs: spec.limits.idleMs,
      ...(recalled && { recalled }),
      checkpoints: keepCheckpoints({
        file: folder.checkpoint,
        threadId: thread.thread.id,
        journal,
        recalled: seen,
        log,
      }),
      holds: () => channel.holds,
      async betweenTurns() {
        const warning = await checkpoints.take();
        if (warning !== null) link.sessionChanged({ ...opened.report(), warning });
      },
      onTurnEnded() {
        channel.turnEnded();
        void trimLog(folder.codexLog).catch(() => undefined);
      },
    });
    if (recalled) await catchUp(rpc, thread.thread.id, opened, recalled, isNew);
    if (isNew) opened.dropEarlierRequests();
    conversation = opened;
    for (const what of early) what(opened);
    early = [];
    const start = startOf(task, thread.thread.id);
    for (const message of firstMessages(spec, start, ledger.past)) await opened.accept(message);
    await task.inbox.handOver((message) => acceptOrReject(opened, journal, message));
    if (opened.runningTurn !== null) account.assumeTurn(thread.thread.id);
    await channel.start(opened);
    return liveSession({
      task,
      server,
      rpc,
      account,
      conversation: opened,
      channel,
      link,
      checkpoints,
      record,
      warnings,
      secrets,
    });
  } catch (error) {
    rpc.close('not opened');
    throw error;
  }
}

/** What the journal tells of a thread that is new here, but for the history that was written just now. */
async function historyOf({ journal, threadId }: PreparedTask, opened: string): Promise<RecalledEvents> {
  if (threadId === null) return nothingRecalled();
  await journal.flushed();
  return readEvents(journal, opened);
}

function startOf({ threadId, recalled, spec }: PreparedTask, opened: string): 'new' | 'resumed' | 'again' {
  if (opened !== threadId) return 'new';
  if (spec.resume !== null) return 'resumed';
  // An earlier worker opened the thread and may have died before it said anything.
  return recalled ? 'new' : 'again';
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

import { trimLog } from '../../codex/codex-log.js';
import type { AppServer } from '../../codex/launch.js';
import { connectRpc } from '../../codex/rpc.js';
import { toWellFormed } from '../../codex/well-formed.js';
import { type TaskError } from '../../errors.js';
import { parseExecpolicy } from '../../input/execpolicy.js';
import { openTurnCheckpoints } from '../task/turn-checkpoints.js';
import { catchUp, isCaughtUp } from './catch-up.js';
import { placeRules } from '../conversation/rule-paths.js';
import { openAgentChannel } from '../agent-channel/agent-channel.js';
import { announce, sandboxWarnings } from './sandbox-warnings.js';
import { acceptOrReject } from '../conversation/accept-or-reject.js';
import { guardAccount, type AccountGuard } from '../account/account-guard.js';
import { Conversation } from '../conversation/conversation.js';
import { firstMessages } from './first-messages.js';
import { findSubAgents } from '../conversation/find-sub-agents.js';
import { hearUsage } from '../account/hear-usage.js';
import { holdOutRule } from '../account/hold-out.js';
import type { HostContext } from '../model/host-context.js';
import { openHostTokens, ownsTokens } from '../account/host-tokens.js';
import { openRecallWriter } from '../recall/recall-writer.js';
import { liveSession } from './live-session.js';
import { type LiveSession } from '../model/live-session.js';
import { openThread } from './open-thread.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { countOf } from '../../task-folder/ledger.js';
import { nothingRecalled, type RecalledEvents } from '../recall/recalled-events.js';
import { readEvents } from '../recall/recall-events.js';
import { journalHistory } from './thread-history.js';
import { type ProcessRecord } from '../../task-folder/process-record.js';
import { openTroubles } from '../conversation/troubles.js';
import { longWaitOf, watchNetwork } from '../conversation/network-wait.js';
import { openWorkflowLink, type SendSignal, type WorkflowLink } from '../conversation/workflow-link.js';
import type { OwnEvent } from '../../contract/index.js';
import { appendEvent } from '../../journal/append-event.js';

const NO_THREAD_WARNING = 'The snapshot holds no conversation: a new thread was started in its workdir';
/** Longest part of an unreadable line that is shown. */
const SHOWN_CHARS = 4_096;

export interface Launched {
  /** Whether codex is a new process. */
  isNew: boolean;
  server: AppServer;
  record: ProcessRecord;
  incarnation: number;
  secrets: readonly string[];
  /** Of codex. */
  env: Readonly<Record<string, string>>;
  link?: WorkflowLink;
  warnings: string[];
}

/**
 * Connects to a codex and brings its conversation up to now: what came meanwhile, what waits, what is open.
 * @throws what the connection or codex says; the caller ends the process
 */
export async function connectSession(
  host: HostContext,
  task: PreparedTask,
  { server, record, incarnation, secrets, env, isNew, warnings, link: earlier }: Launched,
): Promise<LiveSession> {
  const { journal, ledger, spec, folder, ref } = task;
  const log = host.log.child({ taskId: ref.taskId });
  warnings.push(...task.warnings, ...sandboxWarnings(spec.sandbox));
  let conversation: Conversation | null = null;
  // What codex says before the conversation is ready waits for it, in order.
  let early: ((to: Conversation) => void)[] = [];
  const tell = (what: (to: Conversation) => void) => (conversation ? what(conversation) : early.push(what));
  let account: AccountGuard | null = null;
  const send: SendSignal = (name, argument) => host.signalWorkflow(ref, name, argument);
  const link = earlier ?? openWorkflowLink(send, log, () => log.warn('workflow.gone'));
  if (task.lease && ownsTokens(spec)) task.account.tokens ??= openHostTokens(host, ref.taskId, task.lease);
  const { tokens } = task.account;
  const troubles = openTroubles(warnings, secrets, (warning) => {
    if (conversation) link.sessionChanged({ ...conversation.report(), warning });
  });
  const network = watchNetwork(
    () => void longWaitOf(folder.codexHome, env).then((warning) => troubles.say(warning)),
  );
  const usage = task.lease && hearUsage(host, task, task.lease);
  const fail = ({ code, message }: TaskError) => tell((to) => to.fail(code, message));
  const rpc = await connectRpc(server.socketPath, {
    onNotification(method, params, raw) {
      troubles.seen(method, params);
      network.seen(method, params);
      usage?.seen(method, params);
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
    onUnparseable: (line) => appendEvent(journal, unparseable(line)),
  });
  void rpc.closed.then(() => {
    network.stop();
    usage?.end();
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
    const session = countOf(ledger.past, 'threads');
    await ledger.write({ t: 'thread', threadId: thread.thread.id, model: thread.model });
    // Its reports count from the number of these records, also after a loss of power.
    void ledger.sync().catch(() => undefined);
    const channel = openAgentChannel(task, host.store, log, (hookRequest, onRefused) =>
      link.hookRequested(hookRequest, onRefused),
    );
    const checkpoints = openTurnCheckpoints(host, task, thread.thread.id);
    const opened: Conversation = new Conversation({
      codex: account.codex,
      journal,
      ledger,
      link,
      session,
      about: () => ({
        assignmentId: ref.assignmentId,
        ...(task.lease && { leaseEpoch: task.lease.leaseEpoch }),
      }),
      incarnation,
      mode: spec.mode,
      threadId: thread.thread.id,
      workDir: folder.work,
      policy: spec.approvals.policy,
      network: spec.sandbox.network,
      models,
      model: thread.model,
      effort: thread.reasoningEffort ?? null,
      wantedEffort: spec.effort,
      rules: placeRules(spec.approvals.rules, folder.work),
      policyRules: parseExecpolicy(spec.approvals.execpolicy ?? ''),
      turnMs: spec.limits.turnMs,
      idleMs: spec.limits.idleMs,
      ...(recalled && { recalled }),
      checkpoints: openRecallWriter({
        file: folder.checkpoint,
        threadId: thread.thread.id,
        journal,
        recalled: seen,
        log,
      }),
      holdOut: holdOutRule(host, task, task.lease),
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
    else await findSubAgents(rpc, thread.thread.id, opened);
    conversation = opened;
    for (const what of early) what(opened);
    early = [];
    const start = startOf(task, thread.thread.id);
    for (const message of firstMessages(spec, start, ledger.past)) await opened.accept(message);
    await task.inbox.handOver((message) => acceptOrReject(opened, journal, message));
    // Its caller's word may have come to a worker that was killed right after.
    if (ledger.past.some(({ t }) => t === 'close')) await opened.close();
    if (opened.runningTurn !== null) account.assumeTurn(thread.thread.id);
    opened.interruptAgain();
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
      troubles,
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

function unparseable(line: string): OwnEvent {
  const cut = line.length > SHOWN_CHARS;
  return {
    type: 'x-optio-unparseable',
    line: toWellFormed(cut ? line.slice(0, SHOWN_CHARS) : line),
    ...(cut && { truncated: true, characters: line.length }),
  };
}

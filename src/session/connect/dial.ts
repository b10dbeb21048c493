import type { AppServer } from '../../codex/launch.js';
import { connectRpc, type Rpc } from '../../codex/rpc.js';
import { toWellFormed } from '../../codex/well-formed.js';
import type { OwnEvent } from '../../contract/index.js';
import type { TaskError } from '../../errors.js';
import { appendEvent } from '../../journal/append-event.js';
import type { Log } from '../../log.js';
import type { ProcessRecord } from '../../task-folder/process-record.js';
import { openCodexAccount, type CodexAccount } from '../account/codex-account.js';
import { hearUsage } from '../account/hear-usage.js';
import { openHostTokens, ownsTokens } from '../account/host-tokens.js';
import { longWaitOf, watchNetwork } from '../conversation/network-wait.js';
import { openTroubles, type Troubles } from '../conversation/troubles.js';
import { openWorkflowLink, type WorkflowLink } from '../conversation/workflow-link.js';
import type { HostContext } from '../model/host-context.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { isCaughtUp } from './catch-up.js';
import { EarlyWords } from './early-words.js';
import { chain, heardBy, type NotificationStep } from './notification-chain.js';

/** Longest part of an unreadable line that is shown. */
const SHOWN_CHARS = 4_096;

/** A codex that runs. */
export interface LaunchedCodex {
  /** Whether it is a new process. */
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

/** A connected Codex and its listeners. */
export interface Connection extends LaunchedCodex {
  readonly link: WorkflowLink;
  readonly log: Log;
  readonly rpc: Rpc;
  readonly account: CodexAccount;
  readonly troubles: Troubles;
  /** Holds Codex's notifications until `open`. */
  readonly words: EarlyWords;
}

/**
 * Connects to a Codex. From here on all its notifications pass through the handlers of `notify`.
 * @throws the error of the connection
 */
export async function dial(
  host: HostContext,
  task: PreparedTask,
  launched: LaunchedCodex,
): Promise<Connection> {
  const { ref, spec, folder, journal, recalled } = task;
  const { server, warnings, secrets, env } = launched;
  const log = host.log.child({ taskId: ref.taskId });
  const words = new EarlyWords();
  const link =
    launched.link ??
    openWorkflowLink(
      (name, argument) => host.signalWorkflow(ref, name, argument),
      log,
      () => log.warn('workflow.gone'),
    );
  if (task.lease && ownsTokens(spec)) task.account.tokens ??= openHostTokens(host, ref.taskId, task.lease);
  const { tokens } = task.account;
  const troubles = openTroubles(warnings, secrets, (warning) => {
    const { thread } = words;
    if (thread) link.sessionChanged({ ...thread.report(), warning });
  });
  const network = watchNetwork(
    () => void longWaitOf(folder.codexHome, env).then((warning) => troubles.say(warning)),
  );
  const usage = task.lease && hearUsage(host, task, task.lease);
  let account: CodexAccount | null = null;
  const notify = chain([
    heardBy(troubles),
    heardBy(network),
    heardBy(usage),
    // May hold back later notifications after a refused token, until that is explained.
    function guarded(said, pass) {
      if (account) account.seen(said.method, said.params, () => pass(said));
      else pass(said);
    },
    function whenOpen(said, pass) {
      words.tell(() => pass(said));
    },
    unlessCaughtUp(recalled),
    function toThread({ method, params, raw }) {
      words.tell((to) => to.router.route(method, params, raw));
    },
  ]);
  const fail = ({ code, message }: TaskError) => words.tell((to) => to.fail(code, message));
  const rpc = await connectRpc(server.socketPath, {
    onNotification: (method, params, raw) => notify({ method, params, raw }),
    onRequest(id, method, params) {
      if (!tokens?.answer(rpc, { id, method, params }, fail))
        words.tell((to) => to.permissions.ask(id, method, params));
    },
    onUnparseable: (line) => appendEvent(journal, unparseable(line)),
  });
  void rpc.closed.then(() => {
    network.stop();
    usage?.end();
  });
  account = openCodexAccount(host, task, rpc, (code, message) => words.tell((to) => to.fail(code, message)));
  return { ...launched, link, log, rpc, account, troubles, words };
}

/** Drops a notification that is in the journal already or was just caught up. */
const unlessCaughtUp =
  (recalled: PreparedTask['recalled']): NotificationStep =>
  (said, pass) => {
    if (!recalled || !isCaughtUp(recalled, said.method, said.params)) pass(said);
  };

function unparseable(line: string): OwnEvent {
  const cut = line.length > SHOWN_CHARS;
  return {
    type: 'x-optio-unparseable',
    line: toWellFormed(cut ? line.slice(0, SHOWN_CHARS) : line),
    ...(cut && { truncated: true, characters: line.length }),
  };
}

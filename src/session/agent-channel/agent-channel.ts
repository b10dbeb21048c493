import { basename } from 'node:path';
import type { HookRequest, HookRequestAnswer } from '../../contract/index.js';
import type { Log } from '../../log.js';
import type { Store } from '../../store/mongo.js';
import type { OnRefused } from '../conversation/workflow-link.js';
import { openHookRequests } from './hook-requests.js';
import { openHostProtocol } from './host-protocol.js';
import { untilDone } from '../../async/until-done.js';
import type { PreparedTask } from '../model/prepared-task.js';
import type { AgentChannel, ChannelTarget } from '../model/agent-channel.js';

/** @param tell tells the workflow of a hook request, or its own caller why it never will */
export function openAgentChannel(
  { spec, folder, journal, ledger }: Pick<PreparedTask, 'spec' | 'folder' | 'journal' | 'ledger'>,
  store: Store,
  log: Log,
  tell: (hookRequest: HookRequest, onRefused: OnRefused) => void,
): AgentChannel {
  let target: ChannelTarget | null = null;
  let began: () => void = () => undefined;
  const begun = new Promise<void>((resolve) => (began = resolve));
  let isClosed = false;
  const hookRequests = openHookRequests(ledger, (hookRequest) =>
    tell(
      hookRequest,
      (reason) => void answerUnheard({ id: hookRequest.id, text: unheard(hookRequest, reason) }),
    ),
  );
  const { hooks, limits, taskId } = spec;
  const protocol = spec.hostProtocol
    ? openHostProtocol({
        store,
        taskId,
        work: folder.work,
        maxBytes: limits.downloadBytes,
        journal,
        ledger,
        hookRequests,
        asksCaller: hooks.onCallerMessage !== undefined,
        log,
      })
    : null;
  let uploads = 0;

  async function answer(answer: HookRequestAnswer): Promise<void> {
    const { id, text } = answer;
    if (text !== null) await target?.accept({ messageId: `answer-${id}`, text }, { reopen: true });
    await hookRequests.settle(answer);
    target?.turns.reconsider();
  }

  /** The session would wait for ever for the answer to a request that its task never gets. */
  async function answerUnheard(unheard: HookRequestAnswer): Promise<void> {
    await begun;
    await untilDone(
      () => answer(unheard),
      () => !isClosed,
    );
  }

  return {
    get holds() {
      return hookRequests.size > 0 || protocol?.isBehind === true;
    },
    turnEnded: () => protocol?.turnEnded(),
    async start(to) {
      target = to;
      began();
      await protocol?.start({
        tell: (messageId, text) => to.accept({ messageId, text }, { reopen: true }),
        progress: (progress) => to.reports.setProgress(progress),
        conclude: (end) => to.turns.conclude(end),
        reconsider: () => to.turns.reconsider(),
      });
    },
    answer,
    async uploaded(path, bytes) {
      await hookRequests.add({ id: `upload-${Date.now()}-${uploads++}`, kind: 'upload', path, bytes });
    },
    async close() {
      isClosed = true;
      await protocol?.close();
    },
  };
}

/** Text for the model about a hook request that nobody gets; null: the model has no part in it. */
const unheard = (hookRequest: HookRequest, reason: string): string | null =>
  hookRequest.kind === 'upload'
    ? null
    : `System: ${nameOf(hookRequest)} did not reach your caller: ${reason}`;

const nameOf = (hookRequest: Exclude<HookRequest, { kind: 'upload' }>): string =>
  hookRequest.kind === 'deliverable'
    ? `deliverable ${basename(hookRequest.deliverable.path)}`
    : `message ${hookRequest.keyword}`;

import { basename } from 'node:path';
import type { Errand, ErrandAnswer } from '../../contract/index.js';
import type { Log } from '../../log.js';
import type { Store } from '../../store/mongo.js';
import type { OnRefused } from '../conversation/workflow-link.js';
import { openErrandDesk } from './hook-requests.js';
import { openHostProtocol } from './host-protocol.js';
import { untilDone } from '../../async/until-done.js';
import type { PreparedTask } from '../model/prepared-task.js';
import type { AgentChannel, ChannelTarget } from '../model/agent-channel.js';

/** @param tell tells the workflow of an errand, or its own caller why it never will */
export function openAgentChannel(
  { spec, folder, journal, ledger }: Pick<PreparedTask, 'spec' | 'folder' | 'journal' | 'ledger'>,
  store: Store,
  log: Log,
  tell: (errand: Errand, onRefused: OnRefused) => void,
): AgentChannel {
  let target: ChannelTarget | null = null;
  let began: () => void = () => undefined;
  const begun = new Promise<void>((resolve) => (began = resolve));
  let isClosed = false;
  const errands = openErrandDesk(ledger, (errand) =>
    tell(errand, (reason) => void answerUnheard({ id: errand.id, text: unheard(errand, reason) })),
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
        errands,
        asksCaller: hooks.onCallerMessage !== undefined,
        log,
      })
    : null;
  let uploads = 0;

  async function answer(answer: ErrandAnswer): Promise<void> {
    const { id, text } = answer;
    if (text !== null) await target?.accept({ messageId: `answer-${id}`, text }, { reopen: true });
    await errands.settle(answer);
    target?.reconsider();
  }

  /** The session would wait for ever for the answer to what its task does not hear of. */
  async function answerUnheard(unheard: ErrandAnswer): Promise<void> {
    await begun;
    await untilDone(
      () => answer(unheard),
      () => !isClosed,
    );
  }

  return {
    get holds() {
      return errands.size > 0 || protocol?.isBehind === true;
    },
    turnEnded: () => protocol?.turnEnded(),
    async start(to) {
      target = to;
      began();
      await protocol?.start({
        tell: (messageId, text) => to.accept({ messageId, text }, { reopen: true }),
        progress: (progress) => to.setProgress(progress),
        conclude: (end) => to.conclude(end),
        reconsider: () => to.reconsider(),
      });
    },
    answer,
    async uploaded(path, bytes) {
      await errands.add({ id: `upload-${Date.now()}-${uploads++}`, kind: 'upload', path, bytes });
    },
    async close() {
      isClosed = true;
      await protocol?.close();
    },
  };
}

/** What the model is told of an errand that nobody hears of; null: it is not the model's. */
const unheard = (errand: Errand, reason: string): string | null =>
  errand.kind === 'upload' ? null : `System: ${nameOf(errand)} did not reach your caller: ${reason}`;

const nameOf = (errand: Exclude<Errand, { kind: 'upload' }>): string =>
  errand.kind === 'deliverable'
    ? `deliverable ${basename(errand.deliverable.path)}`
    : `message ${errand.keyword}`;

import { trimLog } from '../../codex/codex-log.js';
import { parseExecpolicy } from '../../input/execpolicy.js';
import { holdOutRule } from '../account/hold-out.js';
import { openAgentChannel } from '../agent-channel/agent-channel.js';
import { Thread } from '../conversation/thread.js';
import { placeRules } from '../conversation/rule-paths.js';
import type { AgentChannel } from '../model/agent-channel.js';
import type { SavingHost } from '../model/host-context.js';
import type { PreparedTask } from '../model/prepared-task.js';
import type { TurnCheckpoints } from '../model/turn-checkpoints.js';
import { openRecallWriter } from '../recall/recall-writer.js';
import { openTurnCheckpoints } from '../task/turn-checkpoints.js';
import type { Connection } from './dial.js';
import type { EnteredThread } from './enter-thread.js';

/** Parts that outlive a connection. */
export interface Assembled {
  readonly thread: Thread;
  readonly channel: AgentChannel;
  readonly checkpoints: TurnCheckpoints;
}

/** Builds the parts of a session on its thread, before any notification reaches them. */
export function assemble(
  host: SavingHost,
  task: PreparedTask,
  { link, log, account, incarnation }: Connection,
  { response, threadId, models, seen, session }: EnteredThread,
): Assembled {
  const { journal, ledger, spec, folder, ref, recalled } = task;
  const channel = openAgentChannel(task, host.store, log, (hookRequest, onRefused) =>
    link.hookRequested(hookRequest, onRefused),
  );
  const checkpoints = openTurnCheckpoints(host, task, threadId);
  const thread: Thread = new Thread({
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
    threadId,
    workDir: folder.work,
    policy: spec.approvals.policy,
    network: spec.sandbox.network,
    models,
    model: response.model,
    effort: response.reasoningEffort ?? null,
    wantedEffort: spec.effort,
    rules: placeRules(spec.approvals.rules, folder.work),
    policyRules: parseExecpolicy(spec.approvals.execpolicy ?? ''),
    outputSchema: spec.outputSchema,
    outputRetries: spec.limits.outputRetries,
    turnMs: spec.limits.turnMs,
    idleMs: spec.limits.idleMs,
    ...(recalled && { recalled }),
    checkpoints: openRecallWriter({ file: folder.checkpoint, threadId, journal, recalled: seen, log }),
    holdOut: holdOutRule(host, task, task.lease),
    holds: () => channel.holds,
    async betweenTurns() {
      const warning = await checkpoints.take();
      if (warning !== null) link.sessionChanged({ ...thread.report(), warning });
    },
    onTurnEnded() {
      channel.turnEnded();
      void trimLog(folder.codexLog).catch(() => undefined);
    },
  });
  return { thread, channel, checkpoints };
}

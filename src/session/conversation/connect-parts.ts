import { NO_USAGE, SHORT_WAIT_MS } from '../../contract/index.js';
import { OWN_IDS } from '../../input/own-ids.js';
import { MessageQueue } from './message-queue.js';
import type { ConversationOptions } from './conversation-options.js';
import { EventRouter } from './event-router.js';
import { sinksOf, type Progress } from './event-sinks.js';
import { openInterrupts, recallCutTurns } from './interrupts.js';
import { ModelChoice } from './model-choice.js';
import { PermissionGate } from './permission-gate.js';
import { openSessionReports, type SessionReports } from './session-reports.js';
import { SubAgents } from './sub-agents.js';
import { TurnItems } from './turn-items.js';
import { TurnQueue } from './turn-queue.js';
import { followUsageLimits } from './usage-limit.js';
import type { TurnOutcome } from '../recall/turn-outcome.js';
import { appendEvent } from '../../journal/append-event.js';

/** A little longer than what the workflow takes for a short wait. Milliseconds. */
const LASTS_MS = SHORT_WAIT_MS + 500;

/** What a conversation is made of. */
export interface ConversationParts {
  readonly queue: MessageQueue;
  readonly line: TurnQueue;
  /** Interrupts once by an id. */
  readonly interrupt: (id: string) => Promise<void>;
  readonly items: TurnItems;
  readonly gate: PermissionGate;
  readonly agents: SubAgents;
  readonly choice: ModelChoice;
  readonly router: EventRouter;
  readonly progress: Progress;
  readonly reports: SessionReports;
}

/** Makes the parts of a conversation; each hears from the others what concerns it. */
export function connectParts(options: ConversationOptions): ConversationParts {
  const { codex, journal, ledger, link, threadId, recalled, checkpoints, onTurnEnded } = options;
  const { session = 0, about = () => ({}) } = options;
  let lasts: NodeJS.Timeout | undefined;
  const items = new TurnItems();
  const progress: Progress = {
    turns: recalled?.turns ?? 0,
    usage: recalled?.usage ?? NO_USAGE,
    finalMessage: recalled?.finalMessage ?? null,
  };
  const limits = followUsageLimits(codex, recalled?.rateLimits, options.holdOut);
  const queue = new MessageQueue(ledger);
  const choice = new ModelChoice({
    ...options,
    past: ledger.past,
    emit: (event) => {
      appendEvent(journal, event);
      if (event.type === 'x-optio-control-update')
        link.sessionChanged({ ...reports.report(), controls: event.controls });
    },
  });
  const gate: PermissionGate = new PermissionGate({
    ...options,
    answers: codex,
    changesOf: (itemId) => items.changesOf(itemId),
    commandOf: (itemId) => items.commandOf(itemId),
    onCut: (itemId) => items.cut(itemId),
    tell,
    onOpen(isOpen) {
      line.turn?.pause(isOpen);
      agents.pause(isOpen);
      clearTimeout(lasts);
      // Only a wait that lasts is worth a search attribute; the workflow hears here that this one does.
      if (isOpen)
        lasts = setTimeout(() => line.isOver || link.sessionChanged(reports.report()), LASTS_MS).unref();
    },
  });
  const agents: SubAgents = new SubAgents({
    codex,
    journal,
    turnMs: options.turnMs,
    recalled: recalled?.otherUsage,
    onRest: () => line.agentsRest(),
    onTimedOut: () => line.agentsTimedOut(),
    onCut: (threadIds) =>
      link.sessionChanged({
        ...reports.report(),
        warning: `Sub-agents were ended while they worked: ${threadIds.slice(0, 10).join(', ')}`,
      }),
  });
  const line: TurnQueue = new TurnQueue({
    ...options,
    agents,
    isAsking: () => gate.size > 0,
    items,
    queue,
    choice,
    limits,
    onEnding: (status, reason) => gate.turnEnded(threadId, status, reason),
    onOverdue: (turnId) => void ledger.write({ t: 'overdue', turnId }).catch(() => undefined),
    onTurnOver: turnOver,
    onIdle: () => link.sessionChanged(reports.report()),
    cut: recallCutTurns(ledger.past),
    last: recalled?.lastTurn ?? null,
  });
  const router = new EventRouter(threadId, journal, items, {
    ...sinksOf({ gate, items, line, queue, journal, progress, limits, agents }),
    noted: (event) => checkpoints?.note(event),
    manyCame: () => checkpoints?.among(items.openNow()),
    modelSeen: (model, effort) => {
      if (choice.observed(model, effort)) link.sessionChanged(reports.report());
    },
  });
  const reports = openSessionReports({ threadId, link, line, choice, progress, session, about });

  function turnOver(outcome: TurnOutcome): void {
    const { id, status, error } = outcome;
    checkpoints?.turnEnded(outcome);
    if (id !== null) router.turnEnded(id);
    if (status === 'completed') progress.turns++;
    if (error !== null) progress.lastError = error;
    void Promise.all([journal.sync(), ledger.sync()]).catch(() => undefined);
    link.flush();
    onTurnEnded?.();
  }

  /** Tells the model why it was denied: codex's answer to a request cannot carry words. */
  async function tell(requestId: string, text: string): Promise<void> {
    const message = await queue.take({ messageId: `${OWN_IDS}deny-${requestId}`, text }).catch(() => null);
    if (message) await line.steer(message);
  }

  const interrupt = openInterrupts(ledger, line);
  return { queue, line, interrupt, items, gate, agents, choice, router, progress, reports };
}

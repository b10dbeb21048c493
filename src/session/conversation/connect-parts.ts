import { NO_USAGE, SHORT_WAIT_MS } from '../../contract/index.js';
import { OWN_IDS } from '../../input/own-ids.js';
import { MessageQueue } from './message-queue.js';
import type { ThreadOptions } from './thread-options.js';
import { EventRouter } from './event-router.js';
import { sinksOf, type Progress } from './event-sinks.js';
import { openInterrupts, recallCutTurns } from './interrupts.js';
import { ModelChoice } from './model-choice.js';
import { PermissionGate } from './permission-gate.js';
import { openSessionReports, type SessionReports } from './session-reports.js';
import { SubAgents } from './sub-agents.js';
import { TurnItems } from './turn-items.js';
import { TurnQueue } from './turn-queue.js';
import { followUsageLimits, type UsageLimits } from './usage-limit.js';
import type { TurnOutcome } from '../recall/turn-outcome.js';
import { appendEvent } from '../../journal/append-event.js';

/** A little longer than what the workflow takes for a short wait. Milliseconds. */
const LASTS_MS = SHORT_WAIT_MS + 500;

/** What a thread is made of. */
export interface ThreadParts {
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

/** Makes the parts of a thread; each hears from the others what concerns it. */
export const connectParts = (options: ThreadOptions): ThreadParts => new ConnectedParts(options);

class ConnectedParts implements ThreadParts {
  readonly items = new TurnItems();
  readonly progress: Progress;
  readonly queue: MessageQueue;
  readonly choice: ModelChoice;
  readonly gate: PermissionGate;
  readonly agents: SubAgents;
  readonly line: TurnQueue;
  readonly router: EventRouter;
  readonly reports: SessionReports;
  readonly interrupt: (id: string) => Promise<void>;
  readonly #limits: UsageLimits;
  #lasts: NodeJS.Timeout | undefined;

  constructor(private readonly options: ThreadOptions) {
    const { codex, ledger, link, threadId, recalled, holdOut, session = 0, about = () => ({}) } = options;
    this.progress = {
      turns: recalled?.turns ?? 0,
      usage: recalled?.usage ?? NO_USAGE,
      finalMessage: recalled?.finalMessage ?? null,
    };
    this.#limits = followUsageLimits(codex, recalled?.rateLimits, holdOut);
    this.queue = new MessageQueue(ledger);
    this.choice = this.#openChoice();
    this.gate = this.#openGate();
    this.agents = this.#openAgents();
    this.line = this.#openLine();
    this.router = this.#openRouter();
    const { line, choice, progress } = this;
    this.reports = openSessionReports({ threadId, link, line, choice, progress, session, about });
    this.interrupt = openInterrupts(ledger, line);
  }

  #openChoice(): ModelChoice {
    const { journal, ledger, link } = this.options;
    return new ModelChoice({
      ...this.options,
      past: ledger.past,
      emit: (event) => {
        appendEvent(journal, event);
        if (event.type === 'x-optio-control-update')
          link.sessionChanged({ ...this.reports.report(), controls: event.controls });
      },
    });
  }

  #openGate(): PermissionGate {
    const { items } = this;
    return new PermissionGate({
      ...this.options,
      answers: this.options.codex,
      changesOf: (itemId) => items.changesOf(itemId),
      commandOf: (itemId) => items.commandOf(itemId),
      onCut: (itemId) => items.cut(itemId),
      tell: (requestId, text) => this.#tell(requestId, text),
      onOpen: (isOpen) => this.#pause(isOpen),
    });
  }

  #openAgents(): SubAgents {
    const { codex, journal, turnMs, recalled, link } = this.options;
    return new SubAgents({
      codex,
      journal,
      turnMs,
      recalled: recalled?.otherUsage,
      onRest: () => this.line.agentsRest(),
      onTimedOut: () => this.line.agentsTimedOut(),
      onCut: (threadIds) =>
        link.sessionChanged({
          ...this.reports.report(),
          warning: `Sub-agents were ended while they worked: ${threadIds.slice(0, 10).join(', ')}`,
        }),
    });
  }

  #openLine(): TurnQueue {
    const { ledger, link, threadId, recalled } = this.options;
    const { agents, items, queue, choice, gate } = this;
    return new TurnQueue({
      ...this.options,
      agents,
      isAsking: () => gate.size > 0,
      items,
      queue,
      choice,
      limits: this.#limits,
      onEnding: (status, reason) => gate.turnEnded(threadId, status, reason),
      onOverdue: (turnId) => void ledger.write({ t: 'overdue', turnId }).catch(() => undefined),
      onTurnOver: (outcome) => this.#turnOver(outcome),
      onIdle: () => link.sessionChanged(this.reports.report()),
      cut: recallCutTurns(ledger.past),
      last: recalled?.lastTurn ?? null,
    });
  }

  #openRouter(): EventRouter {
    const { journal, link, threadId, checkpoints } = this.options;
    const { gate, items, line, queue, progress, agents, choice } = this;
    const limits = this.#limits;
    return new EventRouter(threadId, journal, items, {
      ...sinksOf({ gate, items, line, queue, journal, progress, limits, agents }),
      noted: (event) => checkpoints?.note(event),
      manyCame: () => checkpoints?.among(items.openNow()),
      modelSeen: (model, effort) => {
        if (choice.observed(model, effort)) link.sessionChanged(this.reports.report());
      },
    });
  }

  /** While a request waits for its decision the time of what it belongs to stands still. */
  #pause(isOpen: boolean): void {
    const { line, agents } = this;
    line.turn?.pause(isOpen);
    agents.pause(isOpen);
    clearTimeout(this.#lasts);
    if (!isOpen) return;
    // Only a wait that lasts is worth a search attribute; the workflow hears here that this one does.
    const tellThatItLasts = () => line.isOver || this.options.link.sessionChanged(this.reports.report());
    this.#lasts = setTimeout(tellThatItLasts, LASTS_MS).unref();
  }

  #turnOver(outcome: TurnOutcome): void {
    const { journal, ledger, link, checkpoints, onTurnEnded } = this.options;
    const { id, status, error } = outcome;
    checkpoints?.turnEnded(outcome);
    if (id !== null) this.router.turnEnded(id);
    if (status === 'completed') this.progress.turns++;
    if (error !== null) this.progress.lastError = error;
    void Promise.all([journal.sync(), ledger.sync()]).catch(() => undefined);
    link.flush();
    onTurnEnded?.();
  }

  /** Tells the model why it was denied: codex's answer to a request cannot carry words. */
  async #tell(requestId: string, text: string): Promise<void> {
    const { queue, line } = this;
    const message = await queue.take({ messageId: `${OWN_IDS}deny-${requestId}`, text }).catch(() => null);
    if (message) await line.steer(message);
  }
}

import { NO_USAGE, SHORT_WAIT_MS } from '../../contract/index.js';
import { OWN_IDS } from '../../input/own-ids.js';
import { MessageQueue } from './message-queue.js';
import type { ThreadOptions } from './thread-options.js';
import { EndDecision } from './end-decision.js';
import { EventRouter } from './event-router.js';
import { sinksOf, type ThreadTotals } from './event-sinks.js';
import { Interrupts, recallCutTurns, type CutTurns } from './interrupts.js';
import { ModelChoice } from './model-choice.js';
import { openOutputRule, type OutputRule } from './output-rule.js';
import { PermissionGate } from './permission-gate.js';
import { openSessionReports, type SessionReports } from './session-reports.js';
import { SubAgents } from './sub-agents.js';
import { TurnItems } from './turn-items.js';
import { TurnQueue } from './turn-queue.js';
import type { TurnQueueOptions } from './turn-queue-options.js';
import { followUsageLimits, type UsageLimits } from './usage-limit.js';
import type { TurnOutcome } from '../recall/turn-outcome.js';
import { appendEvent } from '../../journal/append-event.js';

/** A little longer than the workflow's limit of a short wait. Milliseconds. */
const LASTS_MS = SHORT_WAIT_MS + 500;

/** Parts of a thread; each calls the others about what concerns them. */
export class ThreadParts {
  readonly items = new TurnItems();
  readonly totals: ThreadTotals;
  readonly queue: MessageQueue;
  readonly choice: ModelChoice;
  readonly permissions: PermissionGate;
  readonly agents: SubAgents;
  readonly turns: TurnQueue;
  readonly router: EventRouter;
  readonly reports: SessionReports;
  readonly interrupts: Interrupts;
  readonly ending: EndDecision;
  readonly #cut: CutTurns;
  readonly #limits: UsageLimits;
  #lasts: NodeJS.Timeout | undefined;

  constructor(protected readonly options: ThreadOptions) {
    const { codex, ledger, link, threadId, recalled, holdOut, session = 0, about = () => ({}) } = options;
    const { mode, turnMs } = options;
    this.totals = {
      turns: recalled?.turns ?? 0,
      usage: recalled?.usage ?? NO_USAGE,
      finalMessage: recalled?.finalMessage ?? null,
    };
    this.#limits = followUsageLimits(codex, recalled?.rateLimits, holdOut);
    this.ending = new EndDecision(mode, turnMs, recalled?.lastTurn ?? null);
    this.#cut = recallCutTurns(ledger.past);
    this.queue = new MessageQueue(ledger);
    this.choice = this.#openChoice();
    this.permissions = this.#openPermissions();
    this.agents = this.#openAgents();
    this.turns = this.#openTurns();
    this.router = this.#openRouter();
    const { turns, choice, totals } = this;
    this.reports = openSessionReports({ threadId, link, turns, choice, totals, session, about });
    this.interrupts = new Interrupts({ ...this, ledger, cut: this.#cut });
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

  #openPermissions(): PermissionGate {
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
      onRest: () => this.turns.agentsRest(),
      onTimedOut: () => this.ending.amendLast({ timedOut: true }),
      onCut: (threadIds) =>
        link.sessionChanged({
          ...this.reports.report(),
          warning: `Sub-agents were ended while they worked: ${threadIds.slice(0, 10).join(', ')}`,
        }),
    });
  }

  #openTurns(): TurnQueue {
    const { ledger, link, threadId } = this.options;
    const { agents, items, queue, choice, permissions } = this;
    const options: TurnQueueOptions = {
      ...this.options,
      output: this.#openOutputRule(),
      agents,
      isAsking: () => permissions.size > 0,
      items,
      queue,
      choice,
      limits: this.#limits,
      onEnding: (status, reason) => permissions.turnEnded(threadId, status, reason),
      onOverdue: (turnId) => void ledger.write({ t: 'overdue', turnId }).catch(() => undefined),
      onTurnOver: (outcome) => this.#turnOver(outcome),
      onIdle: () => link.sessionChanged(this.reports.report()),
      cut: this.#cut,
    };
    return new TurnQueue(options, this.ending);
  }

  #openOutputRule(): OutputRule {
    const { queue, totals, options } = this;
    const { ledger, journal, recalled, checkpoints, outputSchema, outputRetries = 1 } = options;
    const { past } = ledger;
    return openOutputRule({
      journal,
      queue,
      progress: totals,
      past,
      recalled,
      checkpoints,
      outputSchema,
      outputRetries,
    });
  }

  #openRouter(): EventRouter {
    const { journal, link, threadId, checkpoints } = this.options;
    const { permissions, items, turns, queue, totals, agents, choice } = this;
    const limits = this.#limits;
    return new EventRouter(threadId, journal, items, {
      ...sinksOf({ permissions, items, turns, queue, journal, totals, limits, agents }),
      noted: (event) => checkpoints?.note(event),
      manyCame: () => checkpoints?.among(items.openNow()),
      modelSeen: (model, effort) => {
        if (choice.observed(model, effort)) link.sessionChanged(this.reports.report());
      },
    });
  }

  /** Pauses the time limits of a turn while its request waits for a decision. */
  #pause(isOpen: boolean): void {
    const { turns, agents } = this;
    turns.turn?.pause(isOpen);
    agents.pause(isOpen);
    clearTimeout(this.#lasts);
    if (!isOpen) return;
    // Only a wait that lasts is worth a search attribute; the workflow is told here that this one does.
    const tellThatItLasts = () => turns.isOver || this.options.link.sessionChanged(this.reports.report());
    this.#lasts = setTimeout(tellThatItLasts, LASTS_MS).unref();
  }

  #turnOver(outcome: TurnOutcome): void {
    const { journal, ledger, link, checkpoints, onTurnEnded } = this.options;
    const { id, status, error } = outcome;
    checkpoints?.turnEnded(outcome);
    if (id !== null) this.router.turnEnded(id);
    if (status === 'completed') this.totals.turns++;
    if (error !== null) this.totals.lastError = error;
    void Promise.all([journal.sync(), ledger.sync()]).catch(() => undefined);
    link.flush();
    onTurnEnded?.();
  }

  /** Tells the model why it was denied: codex's answer to a request cannot carry a text. */
  async #tell(requestId: string, text: string): Promise<void> {
    const { queue, turns } = this;
    const message = await queue.take({ messageId: `${OWN_IDS}deny-${requestId}`, text }).catch(() => null);
    if (message) await turns.steer(message);
  }
}

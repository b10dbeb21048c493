import { within } from '../../async/within.js';
import { isRecord } from '../../codex/narrow.js';
import { describeRequest } from '../../codex/requests.js';
import type { OwnEvent } from '../../contract/events.js';
import type { ThreadItem } from '../../codex/protocol.js';
import type { RulesInForce } from '../../contract/activities.js';
import type { Behavior, PermissionDecision, PermissionKind } from '../../contract/index.js';
import { answerFault, type Answer } from '../../input/answers.js';
import { AnsweredElsewhere, type RequestOfItem } from './answered-elsewhere.js';
import { boundedInput } from './bounded-input.js';
import { CodexAnswers } from './codex-answers.js';
import { changedPaths } from './rule-paths.js';
import type { CodexId, GateOptions } from './gate-options.js';
import { subjectOf, type RuleSubject } from './permission-rules.js';
import { recordOf, RuleBook } from './rule-book.js';
import { untilDone } from '../../async/until-done.js';
import { forgetRequest, openOnes, recallRequests, type KnownRequests } from './recalled-requests.js';
import { appendEvent, type RequestEvent } from '../../journal/append-event.js';

/** How long a denial waits for its reason to reach Codex. Milliseconds. */
const TELL_MS = 2_000;

interface OpenRequest extends RequestOfItem {
  readonly codexId: CodexId;
  readonly kind: PermissionKind;
  readonly summary: string;
  readonly subject: RuleSubject;
  /** `claimed`: a decision is on its way through the workflow; `answering`: on its way to Codex. */
  stage: 'open' | 'claimed' | 'answering';
}

/** The requests of Codex: each is announced once, answered once, and closed for everybody however it ends. */
export class PermissionGate {
  private readonly open = new Map<string, OpenRequest>();
  private readonly elsewhere = new AnsweredElsewhere((requestId, behavior) =>
    this.announceEnd(requestId, behavior, ELSEWHERE),
  );
  private readonly past: KnownRequests;
  private readonly rules: RuleBook;
  private readonly answers: CodexAnswers;

  constructor(private readonly options: GateOptions) {
    this.rules = new RuleBook(options);
    this.answers = new CodexAnswers(options);
    this.past = recallRequests(options.ledger.past, options.recalled ?? { requests: new Map() });
  }

  get size(): number {
    return this.open.size;
  }

  /**
   * Takes the only right to send a decision for this request; `false`: it is not open, or the right is taken. A text:
   * what the decision lacks, and nothing was taken.
   */
  claim(requestId: string, answer?: Answer): boolean | string {
    const request = this.open.get(requestId);
    if (request?.stage !== 'open') return false;
    const fault = answer && answerFault(request.kind, request.input, answer);
    if (fault) return fault;
    request.stage = 'claimed';
    return true;
  }

  /** Returns that right: the decision did not become durable. */
  unclaim(requestId: string): void {
    const request = this.open.get(requestId);
    if (request?.stage !== 'claimed') return;
    request.stage = 'open';
    // There may be other rules since.
    this.decideByRule(requestId, () => undefined);
  }

  /** Opens a request of Codex, perhaps a repetition after a new connection. */
  ask(codexId: CodexId, method: string, params: unknown): void {
    const { link, workDir, policy, network, changesOf, commandOf } = this.options;
    const requestId = this.idOf(codexId);
    const { threadId, itemId, grantRoot } = (params ?? {}) as Record<string, unknown>;
    const described = describeRequest(method, params, changesOf(itemId), {
      policy,
      network,
      command: commandOf?.(itemId),
    });
    if (this.open.has(requestId)) return;
    if (!described || !isRecord(params)) return this.answers.refuse(codexId, method);
    if (!this.past.announced.has(requestId))
      this.announce(requestId, 'open', { method, id: requestId, params });
    if (this.answerAgain(requestId, codexId, described.kind, described.input)) return;
    const { kind, summary, input } = described;
    const paths = kind === 'fileChange' ? changedPaths(input['changes'], grantRoot, workDir) : [];
    const subject = subjectOf(kind, input, paths);
    this.open.set(requestId, { codexId, threadId, itemId, kind, summary, input, subject, stage: 'open' });
    if (this.open.size === 1) this.options.onOpen(true);
    // The workflow keeps the time of its first signal.
    const openedAt = new Date().toISOString();
    const askWorkflow = () =>
      link.permissionRequested({ requestId, kind, summary, ...boundedInput(input), openedAt }, (reason) => {
        const message = `Nobody could be asked: ${reason}`;
        const denial = { requestId, behavior: 'deny', decidedBy: 'refused-by-temporal', message } as const;
        // Nobody can decide a request that the task never gets.
        const isOpen = () => this.open.has(requestId);
        void untilDone(() => this.decide(denial), isOpen);
      });
    this.decideByRule(requestId, askWorkflow);
  }

  /**
   * Takes the rules that the task was given while it runs, and looks at what is open again.
   * @throws what the disk says; the rules are as before then
   */
  async setRules(rules: RulesInForce): Promise<void> {
    if (!(await this.rules.change(rules))) return;
    for (const [requestId, { stage }] of [...this.open])
      if (stage === 'open') this.decideByRule(requestId, () => undefined);
  }

  /** `undecided` is called when no rule decides the request, or its decision could not be written down. */
  private decideByRule(requestId: string, undecided: () => void): void {
    const { kind, summary, subject } = this.open.get(requestId)!;
    const behavior = this.rules.decide(subject);
    if (behavior === null) return undecided();
    const record = recordOf(requestId, kind, summary, behavior);
    this.decide({ requestId, behavior, decidedBy: 'rule' }).then(
      () => this.options.link.permissionsRecorded([record]),
      undecided,
    );
  }

  /**
   * Gives Codex a decision. Ignores a request that is no longer open, since it was answered.
   * @throws when the decision could not be recorded; the request is open again then
   */
  async decide(decision: PermissionDecision): Promise<void> {
    const { requestId, decidedBy = 'signal', message } = decision;
    const request = this.open.get(requestId);
    if (!request || request.stage === 'answering') return;
    // The workflow may know only a part of the request: an incomplete answer must not pass.
    if (this.faultOf(decision) !== null) decision = { ...decision, behavior: 'deny' };
    request.stage = 'answering';
    try {
      await this.options.ledger.write({ t: 'answered', decision: { ...decision, decidedBy } });
    } catch (error) {
      request.stage = 'open';
      throw error;
    }
    const { behavior } = decision;
    // Sent before the answer, after which the turn may end before the text arrives.
    if (behavior === 'deny' && message && this.open.has(requestId))
      await within(TELL_MS, this.options.tell(requestId, message));
    // Codex may have closed it meanwhile.
    if (!this.open.has(requestId)) return;
    this.past.decisions.set(requestId, decision);
    this.answers.respond(request, decision);
    this.close(requestId);
    this.announceEnd(requestId, behavior, decidedBy);
  }

  /**
   * Codex closed a request: after our answer, or by itself. `reason`: our interrupt that caused it; null: another
   * client answered it.
   */
  resolved(codexId: CodexId, reason: string | null): void {
    const requestId = this.idOf(codexId);
    const request = this.open.get(requestId);
    // It never comes again.
    forgetRequest(this.past, requestId);
    if (!request) return;
    if (reason !== null) return this.settle(requestId, reason);
    this.close(requestId);
    this.elsewhere.add(requestId, request);
    this.options.link.permissionSettled({ requestId, reason: ELSEWHERE });
  }

  /** An item ended, which shows how its request was answered elsewhere. */
  itemEnded(item: ThreadItem): void {
    this.elsewhere.itemEnded(item);
  }

  /** Closes the requests of a thread's ended turn. */
  turnEnded(threadId: string, status: string, reason: string): void {
    this.elsewhere.turnEnded(threadId, status === 'interrupted' ? 'deny' : 'allow');
    for (const [requestId, request] of [...this.open])
      if (request.threadId === threadId) this.settle(requestId, reason);
  }

  /** Closes everything: the process that asked is gone. */
  settleAll(reason: string): void {
    this.elsewhere.endAll('deny');
    for (const requestId of [...this.open.keys()]) this.settle(requestId, reason);
  }

  /** Reports what is known now; open requests stay open for the next gate. */
  leave(): void {
    this.elsewhere.endAll('allow');
  }

  /** Closes requests of an earlier Codex process that were not seen answered. */
  dropEarlier(): void {
    for (const requestId of openOnes(this.past)) {
      if (this.open.has(requestId)) continue;
      this.announceEnd(requestId, 'deny', 'app-server-ended');
      this.options.link.permissionSettled({ requestId, reason: 'app-server-ended' });
    }
  }

  /** What a decision lacks to answer its open request, naming the fields; null: nothing. */
  private faultOf(decision: PermissionDecision): string | null {
    const request = this.open.get(decision.requestId);
    return request ? answerFault(request.kind, request.input, decision) : null;
  }

  /** Whether the request was decided before Codex had the answer. */
  private answerAgain(
    requestId: string,
    codexId: CodexId,
    kind: PermissionKind,
    input: Record<string, unknown>,
  ): boolean {
    const decision = this.past.decisions.get(requestId);
    if (!decision) return false;
    this.answers.respond({ codexId, kind, input }, decision);
    if (this.past.announced.get(requestId) === 'open')
      this.announceEnd(requestId, decision.behavior, decision.decidedBy ?? 'signal');
    return true;
  }

  private settle(requestId: string, reason: string): void {
    const itemId = this.open.get(requestId)?.itemId;
    if (!this.close(requestId)) return;
    this.options.onCut(itemId);
    this.announceEnd(requestId, 'deny', reason);
    this.options.link.permissionSettled({ requestId, reason });
  }

  private close(requestId: string): boolean {
    const wasOpen = this.open.delete(requestId);
    if (wasOpen && this.open.size === 0) this.options.onOpen(false);
    return wasOpen;
  }

  private announceEnd(request_id: string, behavior: Behavior, decidedBy: string): void {
    const type = 'x-optio-permission-answered';
    this.announce(request_id, 'ended', { type, request_id, behavior, decidedBy });
  }

  private announce(requestId: string, stage: 'open' | 'ended', event: OwnEvent | RequestEvent): void {
    appendEvent(this.options.journal, event);
    this.past.announced.set(requestId, stage);
    this.options.checkpoints?.noteRequest(requestId, stage);
  }

  private idOf(codexId: CodexId): string {
    return `${this.options.incarnation}-${codexId}`;
  }
}

const ELSEWHERE = 'elsewhere';

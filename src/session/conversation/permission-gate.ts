import { within } from '../../async/within.js';
import { isRecord } from '../../codex/narrow.js';
import { answerFor, describeRequest } from '../../codex/requests.js';
import type { OwnEvent } from '../../contract/events.js';
import type { ThreadItem } from '../../codex/protocol.js';
import { toWellFormed } from '../../codex/well-formed.js';
import type { Behavior, PermissionDecision, PermissionKind } from '../../contract/index.js';
import { answerFault, type Answer } from '../../input/answers.js';
import { AnsweredElsewhere, type RequestOfItem } from './answered-elsewhere.js';
import { boundedInput } from './bounded-input.js';
import { changedPaths } from './rule-paths.js';
import type { CodexId, GateOptions } from './gate-options.js';
import { decideByRules, subjectOf } from './permission-rules.js';
import { untilDone } from '../../async/until-done.js';
import { forget, openOnes, recallRequests, type KnownRequests } from './recalled-requests.js';
import { appendEvent, type RequestEvent } from '../../journal/append-event.js';

const METHOD_NOT_FOUND = -32601;
/** How long a denial waits for its reason to reach Codex. Milliseconds. */
const TELL_MS = 2_000;
/** Longest summary in a record of a rule's decision. */
const RECORD_CHARS = 100;

interface OpenRequest extends RequestOfItem {
  readonly codexId: CodexId;
  readonly kind: PermissionKind;
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

  constructor(private readonly options: GateOptions) {
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
    if (request?.stage === 'claimed') request.stage = 'open';
  }

  /** Opens a request of Codex, perhaps a repetition after a new connection. */
  ask(codexId: CodexId, method: string, params: unknown): void {
    const { link, rules, policyRules, workDir, policy, network, changesOf, commandOf } = this.options;
    const requestId = this.idOf(codexId);
    const { threadId, itemId, grantRoot } = (params ?? {}) as Record<string, unknown>;
    const described = describeRequest(method, params, changesOf(itemId), {
      policy,
      network,
      command: commandOf?.(itemId),
    });
    if (this.open.has(requestId)) return;
    if (!described || !isRecord(params)) return this.refuse(codexId, method);
    if (!this.past.announced.has(requestId))
      this.announce(requestId, 'open', { method, id: requestId, params });
    if (this.answerAgain(requestId, codexId, described.kind, described.input)) return;
    const { kind, summary, input } = described;
    this.open.set(requestId, { codexId, threadId, itemId, kind, input, stage: 'open' });
    if (this.open.size === 1) this.options.onOpen(true);
    const paths = kind === 'fileChange' ? changedPaths(input['changes'], grantRoot, workDir) : [];
    const behavior = decideByRules(rules, subjectOf(kind, input, paths), policyRules);
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
    if (behavior === null) return askWorkflow();
    const short = toWellFormed(summary.slice(0, RECORD_CHARS));
    this.decide({ requestId, behavior, decidedBy: 'rule' }).then(
      () => link.permissionsRecorded([{ requestId, kind, summary: short, behavior, decidedBy: 'rule' }]),
      askWorkflow,
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
    this.respond(request, decision);
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
    forget(this.past, requestId);
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

  /** Shows clients only requests that somebody can decide. */
  private refuse(codexId: CodexId, method: string): void {
    this.options.answers.respondError(codexId, METHOD_NOT_FOUND, `${method} is not handled here`);
    const event: OwnEvent = { type: 'x-optio-unsupported', method };
    appendEvent(this.options.journal, event);
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
    this.respond({ codexId, kind, input }, decision);
    if (this.past.announced.get(requestId) === 'open')
      this.announceEnd(requestId, decision.behavior, decision.decidedBy ?? 'signal');
    return true;
  }

  private respond(
    { codexId, kind, input }: Pick<OpenRequest, 'codexId' | 'kind' | 'input'>,
    decision: PermissionDecision,
  ): void {
    try {
      this.options.answers.respond(codexId, answerFor(kind, input, decision));
    } catch {
      // The connection is gone: Codex asks again on the next one and gets this answer then.
    }
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

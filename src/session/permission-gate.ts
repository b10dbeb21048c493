import { answerFor, describeRequest } from '../codex/requests.js';
import type { Behavior, PermissionDecision, PermissionKind, PermissionRequest } from '../contract.js';
import type { Journal } from './journal.js';
import type { Ledger } from './ledger.js';
import type { WorkflowLink } from './workflow-link.js';

/** A request's input in workflow state stays below this; the event stream has it whole. */
const INPUT_BYTES = 48 * 1024;
const METHOD_NOT_FOUND = -32601;

interface OpenRequest {
  readonly codexId: string | number;
  readonly kind: PermissionKind;
  readonly input: Record<string, unknown>;
  /** `claimed`: a decision is on its way through the workflow; `answering`: on its way to codex. */
  stage: 'open' | 'claimed' | 'answering';
}

export interface GateOptions {
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly link: WorkflowLink;
  /** Counts the app-server processes of the task: codex's own request ids begin at 0 in each. */
  readonly incarnation: number;
  readonly changesOf: (itemId: unknown) => unknown;
  /** Tells the model what a denial said. */
  readonly tell: (text: string) => void;
  readonly answers: {
    respond(id: string | number, result: unknown): void;
    respondError(id: string | number, code: number, message: string): void;
  };
}

/** Codex's questions: announced once, answered once, closed for everybody however they end. */
export class PermissionGate {
  private readonly open = new Map<string, OpenRequest>();
  private readonly decided = new Map<string, Behavior>();

  constructor(private readonly options: GateOptions) {
    for (const record of options.ledger.past)
      if (record.t === 'answered') this.decided.set(record.requestId, record.behavior);
  }

  get size(): number {
    return this.open.size;
  }

  /** Takes the one right to send a decision for this request; `false`: it is not open, or another has it. */
  claim(requestId: string): boolean {
    const request = this.open.get(requestId);
    if (request?.stage !== 'open') return false;
    request.stage = 'claimed';
    return true;
  }

  /** Gives that right back: the decision did not become durable. */
  unclaim(requestId: string): void {
    const request = this.open.get(requestId);
    if (request?.stage === 'claimed') request.stage = 'open';
  }

  /** A request came from codex, perhaps once more after a new connection. */
  ask(codexId: string | number, method: string, params: Record<string, unknown>): void {
    const { journal, ledger, link, answers } = this.options;
    const requestId = this.idOf(codexId);
    const described = describeRequest(method, params, this.options.changesOf(params['itemId']));
    if (!described) {
      journal.append(JSON.stringify({ method, id: requestId, params }));
      answers.respondError(codexId, METHOD_NOT_FOUND, `${method} is not handled here`);
      this.announceEnd(requestId, 'deny', 'unsupported');
      return;
    }
    const { kind, summary, input } = described;
    const earlier = this.decided.get(requestId);
    if (earlier) return answers.respond(codexId, answerFor(kind, input, { behavior: earlier }));
    const known = ledger.past.some((each) => each.t === 'request' && each.requestId === requestId);
    this.open.set(requestId, { codexId, kind, input, stage: 'open' });
    if (!known) {
      journal.append(JSON.stringify({ method, id: requestId, params }));
      void ledger.write({ t: 'request', requestId, codexId, kind });
    }
    link.permissionRequested({
      requestId,
      kind,
      summary,
      ...bounded(input),
      openedAt: new Date().toISOString(),
    });
  }

  /** Gives codex the workflow's decision. A request that is no longer open is left alone: it was answered. */
  async answer(decision: PermissionDecision): Promise<void> {
    const request = this.open.get(decision.requestId);
    if (!request || request.stage === 'answering') return;
    request.stage = 'answering';
    const { requestId, behavior, decidedBy = 'signal' } = decision;
    await this.options.ledger.write({ t: 'answered', requestId, behavior, decidedBy });
    // Codex may have closed it while the ledger was written.
    if (!this.open.delete(requestId)) return;
    this.decided.set(requestId, behavior);
    this.options.answers.respond(request.codexId, answerFor(request.kind, request.input, decision));
    this.announceEnd(requestId, behavior, decidedBy);
    if (behavior === 'deny' && decision.message) this.options.tell(decision.message);
  }

  /** Codex closed a request: after our answer, or because it was answered elsewhere or its turn ended. */
  resolved(codexId: unknown, reason: string): void {
    if (typeof codexId !== 'string' && typeof codexId !== 'number') return;
    this.settle(this.idOf(codexId), reason);
  }

  /** Closes what is open: their turn or their process is gone. */
  settleAll(reason: string): void {
    for (const requestId of [...this.open.keys()]) this.settle(requestId, reason);
  }

  private settle(requestId: string, reason: string): void {
    if (!this.open.delete(requestId)) return;
    this.announceEnd(requestId, 'deny', reason);
    this.options.link.permissionSettled({ requestId, reason });
  }

  private announceEnd(request_id: string, behavior: Behavior, decidedBy: string): void {
    this.options.journal.append(
      JSON.stringify({ type: 'x-optio-permission-answered', request_id, behavior, decidedBy }),
    );
  }

  private idOf(codexId: string | number): string {
    return `${this.options.incarnation}-${codexId}`;
  }
}

/** The input as workflow state may hold it: whole, or its longest texts cut. */
function bounded(input: Record<string, unknown>): Pick<PermissionRequest, 'input' | 'truncated'> {
  for (let keep = INPUT_BYTES; keep > 16; keep = Math.floor(keep / 4)) {
    const whole = keep === INPUT_BYTES;
    const cut = whole ? input : (cutTexts(input, keep) as Record<string, unknown>);
    if (Buffer.byteLength(JSON.stringify(cut)) <= INPUT_BYTES)
      return whole ? { input } : { input: cut, truncated: true };
  }
  return { input: {}, truncated: true };
}

function cutTexts(value: unknown, keep: number): unknown {
  if (typeof value === 'string')
    return value.length > keep ? `${value.slice(0, keep).toWellFormed()}…` : value;
  if (Array.isArray(value)) return value.slice(0, keep).map((each) => cutTexts(each, keep));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, cutTexts(each, keep)]));
}

import { answerFor } from '../../codex/requests.js';
import type { OwnEvent } from '../../contract/events.js';
import type { PermissionDecision, PermissionKind } from '../../contract/index.js';
import { appendEvent } from '../../journal/append-event.js';
import type { CodexId, GateOptions } from './gate-options.js';

const METHOD_NOT_FOUND = -32601;

/** What an answer depends on. */
export interface Answerable {
  readonly codexId: CodexId;
  readonly kind: PermissionKind;
  readonly input: Record<string, unknown>;
}

/** Answers codex's requests on its connection. */
export class CodexAnswers {
  constructor(private readonly options: Pick<GateOptions, 'answers' | 'journal'>) {}

  respond({ codexId, kind, input }: Answerable, decision: PermissionDecision): void {
    try {
      this.options.answers.respond(codexId, answerFor(kind, input, decision));
    } catch {
      // The connection is gone: codex asks again on the next one and gets this answer then.
    }
  }

  /** Clients see as requests only what somebody can decide. */
  refuse(codexId: CodexId, method: string): void {
    this.options.answers.respondError(codexId, METHOD_NOT_FOUND, `${method} is not handled here`);
    const event: OwnEvent = { type: 'x-optio-unsupported', method };
    appendEvent(this.options.journal, event);
  }
}

import { basename } from 'node:path';
import type { HookRequest, Progress } from '../../contract/index.js';
import type { Journal } from '../../journal/journal.js';
import type { Ledger } from '../../task-folder/ledger.js';
import type { TailBatch } from '../../task-folder/log-tail.js';
import type { ThreadEnd } from '../conversation/end-rule.js';
import { collectDeliverable, DeliverableFault, type CollectOptions } from './deliverables.js';
import type { HookRequests } from './hook-requests.js';
import { openProtocolEvents, type ProtocolEvents } from './protocol-events.js';
import { parseProtocolLine } from './protocol-lines.js';

/** Most files and messages for the caller in one task: each costs a few events of its workflow's history. */
export const MAX_HOOK_REQUESTS = 500;

/** Effects of the agent's log on its thread. */
export interface ProtocolTarget {
  /** Tells the model something, once by this id. */
  tell(messageId: string, text: string): Promise<unknown>;
  progress(progress: Progress): void;
  /** The agent ended the task, which ends when nothing of it is left to do. */
  conclude(end: ThreadEnd): void;
  /** The condition that the session waits for may have changed. */
  reconsider(): void;
}

export interface LineActionsOptions extends CollectOptions {
  readonly journal: Journal;
  readonly ledger: Pick<Ledger, 'past' | 'write'>;
  readonly hookRequests: HookRequests;
  /** Whether the caller has a hook for `CALLER_MESSAGE`. */
  readonly asksCaller: boolean;
  readonly signal: AbortSignal;
  /** Id for the effects of a line. */
  readonly idOf: (line: number) => string;
  /** A line had an effect that must not happen twice: its position has to be recorded. */
  readonly onLasting: () => void;
}

/** Handles the lines of the agent's log, once each. */
export class LineActions {
  #events: ProtocolEvents;
  #refused = 0;
  #hasVerdict: boolean;

  constructor(private readonly options: LineActionsOptions) {
    this.#events = openProtocolEvents(options.journal, 0);
    this.#hasVerdict = options.ledger.past.some((record) => record.t === 'verdict');
  }

  /** The agent has ended its task: later lines do not count. */
  get hasVerdict(): boolean {
    return this.#hasVerdict;
  }

  /** The newest line that was reported. */
  get lastLine(): number {
    return this.#events.lastLine;
  }

  /** Does not repeat what an earlier worker reported. */
  startAfter(line: number): void {
    this.#events = openProtocolEvents(this.options.journal, line);
  }

  /** Resolves when the reports are in the file. */
  flush(): Promise<void> {
    return this.#events.flush();
  }

  /** @throws the error of disk or database: the line has to be handled again then */
  async act(n: number, line: TailBatch['lines'][number], target: ProtocolTarget): Promise<void> {
    const said = parseProtocolLine(line.text);
    if (!said) return;
    const events = this.#events;
    switch (said.kind) {
      case 'log':
        events.tell(n, { type: 'x-optio-log', text: said.text, ...(line.truncated && { truncated: true }) });
        return target.progress({ percent: null, text: said.text });
      case 'status': {
        const { percent, text } = said;
        events.tell(n, { type: 'x-optio-status', percent, text });
        return target.progress({ percent, text });
      }
      case 'browser':
        return events.tell(n, { type: 'x-optio-browser', url: said.url });
      case 'attention':
        return events.tell(n, { type: 'x-optio-attention', reason: said.reason });
      case 'clientMessage': {
        const { keyword, message } = said;
        return events.tell(n, { type: 'x-optio-client-message', keyword, message });
      }
      case 'callerMessage':
        return this.#askCaller(n, said.keyword, said.message);
      case 'deliverable':
        return this.#deliver(n, said.path, target);
      case 'done':
      case 'error':
        return this.#conclude(n, { kind: said.kind, text: said.text }, target);
    }
  }

  async #askCaller(n: number, keyword: string, message: unknown): Promise<void> {
    const { asksCaller, hookRequests, idOf, onLasting } = this.options;
    this.#events.tell(n, { type: 'x-optio-caller-message', keyword, message });
    const hookRequest: HookRequest = { id: idOf(n), kind: 'callerMessage', keyword, message };
    if (asksCaller && this.#hasRoom(hookRequest.id)) await hookRequests.add(hookRequest);
    onLasting();
  }

  async #deliver(n: number, named: string, target: ProtocolTarget): Promise<void> {
    const { hookRequests, idOf, onLasting } = this.options;
    const id = idOf(n);
    onLasting();
    try {
      if (!this.#hasRoom(id))
        throw new DeliverableFault(`a task delivers at most ${MAX_HOOK_REQUESTS} files`);
      const known = hookRequests.find(id);
      const deliverable =
        known?.kind === 'deliverable' ? known.deliverable : await collectDeliverable(this.options, named);
      await hookRequests.add({ id, kind: 'deliverable', deliverable });
      this.#events.emitAlways(n, { type: 'x-optio-deliverable', ...deliverable });
    } catch (error) {
      if (!(error instanceof DeliverableFault)) throw error;
      const reason = error.message;
      this.#events.tell(n, { type: 'x-optio-deliverable-refused', path: named, reason });
      if (++this.#refused > MAX_HOOK_REQUESTS) return;
      await target.tell(`refused-${id}`, `System: deliverable ${basename(named)}: rejected, ${reason}`);
    }
  }

  async #conclude(n: number, said: Verdict, target: ProtocolTarget): Promise<void> {
    this.#events.emitAlways(n, { type: `x-optio-${said.kind}`, text: said.text });
    await this.#events.flush();
    await this.options.ledger.write({ t: 'verdict', is: said.kind, text: said.text });
    this.#hasVerdict = true;
    target.conclude(endOf(said));
  }

  #hasRoom(id: string): boolean {
    const { hookRequests } = this.options;
    return hookRequests.find(id) !== undefined || hookRequests.count < MAX_HOOK_REQUESTS;
  }
}

interface Verdict {
  kind: 'done' | 'error';
  text: string | null;
}

/** The end of a task whose agent wrote this. */
export function endOf({ kind, text }: Verdict): ThreadEnd {
  if (kind === 'done') return { kind: 'completed' };
  const message = text === null ? 'agent reported ERROR' : `agent reported ERROR: ${text}`;
  return { kind: 'failed', code: 'CodexFailed', message };
}

import { onAbort } from '../async/abort.js';
import { onceLate } from '../async/time-limit.js';
import { isRecord } from './narrow.js';
import { RpcError, RpcTimeout } from './rpc-errors.js';

export interface CallOptions {
  /** Milliseconds from sending to the answer. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

interface Call {
  method: string;
  params: unknown;
  timeoutMs: number;
  settle: (outcome: { result: unknown } | { error: Error }) => void;
  retryMs: number;
  /** Set while the call is in flight. */
  id?: number;
  endDeadline?: () => void;
  retry?: NodeJS.Timeout;
}

/** "Server overloaded; retry later." */
const OVERLOADED = -32001;
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 2_000;

/** The calls of one connection: so many in flight, the others in order behind them; each of them ends. */
export class RpcCalls {
  #nextId = 1;
  readonly #waiting: Call[] = [];
  readonly #inFlight = new Set<Call>();
  readonly #byId = new Map<number, Call>();

  constructor(
    private readonly send: (message: { id: number; method: string; params: unknown }) => void,
    private readonly maxInFlight: number,
  ) {}

  /** Resolves with the answer; an answer "overloaded" is retried inside the deadline. */
  add(method: string, params: unknown, { timeoutMs, signal }: CallOptions): Promise<unknown> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const call: Call = {
        method,
        params,
        timeoutMs,
        retryMs: FIRST_RETRY_MS,
        settle: (outcome) => {
          release();
          this.#forget(call);
          if ('error' in outcome) reject(outcome.error);
          else resolve(outcome.result);
        },
      };
      const release = onAbort(signal, () => call.settle({ error: signal?.reason as Error }));
      this.#waiting.push(call);
      this.#pump();
    });
  }

  /** Takes in an answer; one to a call that was given up is dropped. */
  answer({ id, result, error: refusal }: Record<string, unknown>): void {
    const call = this.#byId.get(id as number);
    if (!call) return;
    if (!isRecord(refusal)) return call.settle({ result });
    const error = RpcError.from(call.method, refusal);
    if (error.code !== OVERLOADED) return call.settle({ error });
    this.#byId.delete(id as number);
    call.retry = setTimeout(() => this.#sendCall(call), call.retryMs * (0.5 + Math.random()));
    call.retryMs = Math.min(call.retryMs * 2, MAX_RETRY_MS);
  }

  rejectAll(error: Error): void {
    const calls = [...this.#inFlight, ...this.#waiting.splice(0)];
    for (const call of calls) call.settle({ error });
  }

  #pump(): void {
    while (this.#inFlight.size < this.maxInFlight) {
      const call = this.#waiting.shift();
      if (!call) return;
      this.#inFlight.add(call);
      const late = () => call.settle({ error: new RpcTimeout(call.method, call.timeoutMs) });
      call.endDeadline = onceLate(call.timeoutMs, late);
      this.#sendCall(call);
    }
  }

  #sendCall(call: Call): void {
    call.id = this.#nextId++;
    this.#byId.set(call.id, call);
    try {
      this.send({ id: call.id, method: call.method, params: call.params });
    } catch (error) {
      call.settle({ error: error as Error });
    }
  }

  #forget(call: Call): void {
    call.endDeadline?.();
    clearTimeout(call.retry);
    if (call.id !== undefined) this.#byId.delete(call.id);
    if (this.#inFlight.delete(call)) this.#pump();
    else if (this.#waiting.includes(call)) this.#waiting.splice(this.#waiting.indexOf(call), 1);
  }
}

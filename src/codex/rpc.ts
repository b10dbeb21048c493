import { readlink } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { WebSocket, type RawData } from 'ws';
import { onAbort } from '../async/abort.js';
import { reasonOf } from '../errors.js';
import { isRecord, readResult } from './narrow.js';
import type { CallName, ClientCalls, RequestId } from './protocol.js';
import { RpcCalls, type CallOptions } from './rpc-calls.js';
import { RpcClosed } from './rpc-errors.js';
import { wellFormedJson } from './well-formed.js';

/** What codex says unasked. Called in wire order, synchronously; one that throws closes the connection. */
export interface RpcHandlers {
  /** `raw` is the message as received. */
  onNotification(method: string, params: unknown, raw: string): void;
  /** Each request needs one `respond` or `respondError`. Codex's ids start at 0 and are its own. */
  onRequest(id: RequestId, method: string, params: unknown, raw: string): void;
  /** A message that is no JSON object or no JSON-RPC message. */
  onUnparseable?(text: string): void;
}

export interface RpcOptions {
  /** Milliseconds until the connection must stand; default 10,000. */
  timeoutMs?: number;
  /** Calls sent and not yet answered; more wait in order. Default 32. */
  maxInFlight?: number;
  signal?: AbortSignal | undefined;
}

/** Over 500 calls at once codex answered some -32001 and others never. */
const MAX_IN_FLIGHT = 32;
/** Codex caps no message: 8 MB of text come as three lines of 8 MB each. */
const MAX_MESSAGE_BYTES = 256 * 1024 * 1024;
const CLOSE_GRACE_MS = 1_000;

/**
 * Connects to the app-server that listens on a unix socket. The handshake (`initialize`) is the caller's.
 * @throws RpcClosed when nobody accepts in time; the signal's reason when aborted
 */
export async function connectRpc(
  socketPath: string,
  handlers: RpcHandlers,
  options: RpcOptions = {},
): Promise<Rpc> {
  const path = await resolvedSocket(socketPath);
  options.signal?.throwIfAborted();
  // The `ws+unix:` form would cut the path at a colon.
  const socket = new WebSocket('ws://localhost/', {
    createConnection: () => createConnection(path),
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
  });
  // The handlers hang on the socket before it opens, so that no early message is missed.
  const rpc = new Rpc(socket, handlers, options.maxInFlight ?? MAX_IN_FLIGHT);
  const { timeoutMs = 10_000 } = options;
  const deadline = setTimeout(() => rpc.close(`no handshake within ${timeoutMs} ms`), timeoutMs);
  const abort = () => rpc.close('aborted');
  const release = onAbort(options.signal, abort);
  try {
    await Promise.race([
      new Promise((resolve) => socket.once('open', resolve)),
      rpc.closed.then((reason) => Promise.reject(new RpcClosed(reason))),
    ]);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(deadline);
    release();
  }
  return rpc;
}

/** Codex makes its socket a symlink into the temp dir, and Node cuts paths over 107 characters. */
async function resolvedSocket(socketPath: string): Promise<string> {
  return readlink(socketPath).catch(() => socketPath);
}

/** A live connection. Every call ends: by its answer, its deadline, its signal or the close. */
export class Rpc {
  /** Resolves once, with the reason, when the connection is over. */
  readonly closed: Promise<string>;

  #closedReason: string | undefined;
  #resolveClosed!: (reason: string) => void;
  readonly #calls: RpcCalls;

  constructor(
    private readonly socket: WebSocket,
    private readonly handlers: RpcHandlers,
    maxInFlight: number,
  ) {
    this.#calls = new RpcCalls((message) => this.#send(message), maxInFlight);
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
    socket.on('message', (data) => this.#receive(data));
    socket.on('error', (error) => this.#end(reasonOf(error)));
    socket.on('close', (code, reason) => this.#end(reason.toString() || `connection closed (${code})`));
  }

  /**
   * Calls a method and resolves with its result, narrowed to what this project reads of it.
   * @throws as `request` does; TaskError `CodexFailed` when a field that is relied on is missing
   */
  async call<M extends CallName>(
    method: M,
    params: ClientCalls[M]['params'],
    options: CallOptions,
  ): Promise<ClientCalls[M]['result']> {
    return readResult(method, await this.request(method, params, options));
  }

  /**
   * Calls any method and resolves with its result as it came. An answer "overloaded" is retried inside the deadline.
   * @throws RpcError the error codex answered; RpcTimeout; RpcClosed; the signal's reason
   */
  request(method: string, params: unknown, options: CallOptions): Promise<unknown> {
    if (this.#closedReason !== undefined) return Promise.reject(new RpcClosed(this.#closedReason));
    return this.#calls.add(method, params, options);
  }

  /** @throws RpcClosed */
  notify(method: string, params?: unknown): void {
    this.#send({ method, params });
  }

  /** Answers a request of codex. @throws RpcClosed */
  respond(id: RequestId, result: unknown): void {
    this.#send({ id, result });
  }

  /** Answers a request of codex with an error. @throws RpcClosed */
  respondError(id: RequestId, code: number, message: string): void {
    this.#send({ id, error: { code, message } });
  }

  /** Ends the connection; what was sent before is still written. Calls that wait are rejected now. */
  close(reason = 'closed by this side'): void {
    this.#end(reason);
    this.socket.close();
    setTimeout(() => this.socket.terminate(), CLOSE_GRACE_MS).unref();
  }

  #receive(data: RawData): void {
    if (this.#closedReason !== undefined) return;
    // `binaryType` is left at its default, so that data is one Buffer.
    const raw = (data as Buffer).toString();
    try {
      this.#dispatch(raw);
    } catch (error) {
      // An event that was not taken in must not be passed over: a new connection catches it up.
      this.close(`handler failed: ${reasonOf(error)}`);
    }
  }

  #dispatch(raw: string): void {
    const message = parseRecord(raw);
    if (!message) this.handlers.onUnparseable?.(raw);
    else if (typeof message['method'] === 'string') {
      const id = message['id'];
      if (id === undefined) this.handlers.onNotification(message['method'], message['params'], raw);
      else this.handlers.onRequest(id as RequestId, message['method'], message['params'], raw);
    } else if ('result' in message || 'error' in message) this.#calls.answer(message);
    else this.handlers.onUnparseable?.(raw);
  }

  #send(message: object): void {
    if (this.#closedReason !== undefined) throw new RpcClosed(this.#closedReason);
    // Between the peer's close frame and the end ws would drop it silently.
    if (this.socket.readyState !== WebSocket.OPEN) throw new RpcClosed('about to close');
    this.socket.send(wellFormedJson(message));
  }

  #end(reason: string): void {
    if (this.#closedReason !== undefined) return;
    this.#closedReason = reason;
    this.#calls.rejectAll(new RpcClosed(reason));
    this.#resolveClosed(reason);
  }
}

function parseRecord(raw: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(raw);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

import { randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { HookRequest, Progress } from '../../contract/index.js';
import { reasonOf } from '../../errors.js';
import type { Log } from '../../log.js';
import { changeAlarm } from '../../host/watch-file.js';
import { collectDeliverable, DeliverableFault, type CollectOptions } from './deliverables.js';
import type { ConversationEnd } from '../conversation/end-rule.js';
import type { HookRequests } from './hook-requests.js';
import type { Journal } from '../../journal/journal.js';
import type { Ledger, LedgerRecord } from '../../task-folder/ledger.js';
import { openLogTail, START, type TailBatch } from '../../task-folder/log-tail.js';
import { parseProtocolLine } from './protocol-lines.js';
import { lastLineIn, openProtocolEvents } from './protocol-events.js';

/** The agent's log below a workdir. */
export const PROTOCOL_LOG = 'optio.log';

const POLL_MS = 2_000;
const RETRY_MS = 1_000;
/** How long the end of a turn waits for what is still to be read. */
const PATIENCE_MS = 10_000;
/** Reads without a pause between. */
const READS = 16;
/**
 * How often it is written down how far the log was read, but for what came of it: an agent may write without end, and
 * a line that is read again does nothing again.
 */
const KEEP_MS = 10_000;
/** Lines that come together are read together. */
const GATHER_MS = 50;
/** Files and messages for the caller that one task may bring: each is a few events of its workflow's history. */
export const MAX_HOOK_REQUESTS = 500;

/** What the agent's log does to its conversation. */
export interface ProtocolTarget {
  /** Tells the model something, once by this id. */
  tell(messageId: string, text: string): Promise<unknown>;
  progress(progress: Progress): void;
  /** The agent ended the task; it ends when nothing of it is left to do. */
  conclude(end: ConversationEnd): void;
  /** What the session waited for may be there. */
  reconsider(): void;
}

export interface ProtocolOptions extends CollectOptions {
  readonly journal: Journal;
  readonly ledger: Pick<Ledger, 'past' | 'write'>;
  readonly hookRequests: HookRequests;
  /** Whether the caller has a hook for `CALLER_MESSAGE`. */
  readonly asksCaller: boolean;
  readonly log: Log;
}

export interface HostProtocol {
  /** Whether lines may be there that were not acted on. */
  readonly isBehind: boolean;
  /** A turn is over: what it wrote is acted on before the session may end. */
  turnEnded(): void;
  /** Begins to read. */
  start(target: ProtocolTarget): Promise<void>;
  /** Stops reading; resolves when nothing of it is under way. */
  close(): Promise<void>;
}

/**
 * Acts on the lines that the agent writes into `optio.log`, each once, even when the worker is killed in
 * between: events name their line, and hook requests and the verdict are in the ledger.
 */
export function openHostProtocol(options: ProtocolOptions): HostProtocol {
  const { work, ledger, journal, hookRequests, log } = options;
  const past = ledger.past.findLast((record) => record.t === 'protocol');
  const verdictBefore = ledger.past.find((record) => record.t === 'verdict');
  const tokens = tokensIn(ledger.past);
  const token = tokens.at(-1)?.token ?? newToken();
  const tail = openLogTail(join(work, PROTOCOL_LOG), past?.position ?? null);
  const alarm = changeAlarm(PROTOCOL_LOG, (error) =>
    log.warn({ reason: error.message }, 'protocol.watch.failed'),
  );
  const stopped = new AbortController();
  let events = openProtocolEvents(journal, 0);
  let base = past?.line ?? 0;
  let ended = verdictBefore !== undefined;
  /** Catching up that was asked for, and done: a read to the end serves what was asked before it began. */
  let asked = 1;
  let served = 0;
  let patienceEnds = 0;
  let refused = 0;
  /** How far it was read and not written down yet. */
  let unkept: LedgerRecord | null = null;
  let keepAgainAt = 0;
  let running: Promise<void> = Promise.resolve();

  async function run(target: ProtocolTarget): Promise<void> {
    for (let reads = 1; !stopped.signal.aborted && !ended; reads++) {
      const wanted = asked;
      const more = await readOn(target).catch(async (error: unknown) => {
        log.warn({ reason: reasonOf(error) }, 'protocol.retry');
        await pause(RETRY_MS);
        return true;
      });
      if (more && reads % READS === 0) await pause(GATHER_MS);
      // Who never stops to write does not keep the session from its end.
      if (more && performance.now() < patienceEnds) continue;
      served = wanted;
      if (!ended) target.reconsider();
      if (more) continue;
      await alarm.rings(POLL_MS, stopped.signal);
      await pause(GATHER_MS);
    }
  }

  const pause = (ms: number) => delay(ms, undefined, { signal: stopped.signal }).catch(() => undefined);

  /** `false`: there is nothing more. */
  async function readOn(target: ProtocolTarget): Promise<boolean> {
    const batch = await tail.read();
    if (!batch) return false;
    // Of another file no line was told yet.
    if (batch.restarted) base = Math.max(base, events.lastLine);
    for (const [i, line] of batch.lines.entries()) {
      if (stopped.signal.aborted) return false;
      await act(base + i + 1, line, target);
      if (ended) return false;
    }
    await events.flush();
    await keep(batch);
    return !batch.atEnd;
  }

  async function keep({ lines, position, atEnd }: TailBatch): Promise<void> {
    base += lines.length;
    tail.keep(position);
    if (lines.length > 0) unkept = { t: 'protocol', token, line: base, position };
    // At a turn's end another host may go on from here.
    const isDue = performance.now() >= keepAgainAt || (atEnd && served < asked);
    if (isDue) await writeDown();
  }

  async function writeDown(): Promise<void> {
    if (!unkept) return;
    await ledger.write(unkept);
    unkept = null;
    keepAgainAt = performance.now() + KEEP_MS;
  }

  async function act(n: number, line: TailBatch['lines'][number], target: ProtocolTarget): Promise<void> {
    const said = parseProtocolLine(line.text);
    if (!said) return;
    switch (said.is) {
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
      case 'callerMessage': {
        const { keyword, message } = said;
        events.tell(n, { type: 'x-optio-caller-message', keyword, message });
        const hookRequest: HookRequest = { id: idOf(n), kind: 'callerMessage', keyword, message };
        if (options.asksCaller && hasRoom(hookRequest.id)) await hookRequests.add(hookRequest);
        keepAgainAt = 0;
        return;
      }
      case 'deliverable':
        return deliver(n, said.path, target);
      case 'done':
      case 'error': {
        events.emitAlways(n, { type: `x-optio-${said.is}`, text: said.text });
        await events.flush();
        await ledger.write({ t: 'verdict', is: said.is, text: said.text });
        ended = true;
        return target.conclude(endOf(said));
      }
    }
  }

  async function deliver(n: number, named: string, target: ProtocolTarget): Promise<void> {
    const id = idOf(n);
    keepAgainAt = 0;
    try {
      if (!hasRoom(id)) throw new DeliverableFault(`a task delivers at most ${MAX_HOOK_REQUESTS} files`);
      const known = hookRequests.find(id);
      const deliverable =
        known?.kind === 'deliverable'
          ? known.deliverable
          : await collectDeliverable({ ...options, signal: stopped.signal }, named);
      await hookRequests.add({ id, kind: 'deliverable', deliverable });
      events.emitAlways(n, { type: 'x-optio-deliverable', ...deliverable });
    } catch (error) {
      if (!(error instanceof DeliverableFault)) throw error;
      const reason = error.message;
      events.tell(n, { type: 'x-optio-deliverable-refused', path: named, reason });
      if (++refused > MAX_HOOK_REQUESTS) return;
      await target.tell(`refused-${id}`, `System: deliverable ${basename(named)}: rejected, ${reason}`);
    }
  }

  const idOf = (n: number) => `${(tokens.findLast(({ after }) => after < n) ?? { token }).token}-${n}`;
  const hasRoom = (id: string) =>
    hookRequests.find(id) !== undefined || hookRequests.count < MAX_HOOK_REQUESTS;

  return {
    get isBehind() {
      return !ended && served < asked;
    },
    turnEnded() {
      asked++;
      patienceEnds = performance.now() + PATIENCE_MS;
      alarm.ring();
    },
    async start(target) {
      if (verdictBefore) return target.conclude(endOf(verdictBefore));
      events = openProtocolEvents(journal, past || journal.lastId > 0 ? await lastLineIn(journal) : 0);
      // Before the first hook request, whose id has it.
      if (!past) await ledger.write({ t: 'protocol', token, line: 0, position: START });
      alarm.watch(work);
      running = run(target);
    },
    async close() {
      stopped.abort();
      await running;
      await writeDown().catch(() => undefined);
      alarm.close();
      await tail.close();
    },
  };
}

/** Begins the ids of what comes of lines; another one on each host, whose lines may be other ones. */
export const newToken = (): string => randomUUID().slice(0, 8);

/** Each token with the line behind which it counts, oldest first. */
export function tokensIn(past: readonly LedgerRecord[]): { token: string; after: number }[] {
  const records = past.filter((record) => record.t === 'protocol');
  return records
    .filter(({ after }, i) => i === 0 || after !== undefined)
    .map(({ token, after = 0 }) => ({ token, after }));
}

function endOf({ is, text }: { is: 'done' | 'error'; text: string | null }): ConversationEnd {
  if (is === 'done') return { kind: 'completed' };
  const message = text === null ? 'agent reported ERROR' : `agent reported ERROR: ${text}`;
  return { kind: 'failed', code: 'CodexFailed', message };
}

import { setTimeout as delay } from 'node:timers/promises';
import { endsSoon, readAuthFacts, rotates } from '../../codex/auth-json.js';
import { isRecord } from '../../codex/narrow.js';
import type { Rpc } from '../../codex/rpc.js';
import { RpcClosed, RpcError } from '../../codex/rpc-errors.js';
import { reasonOf, TaskError, type ErrorCode } from '../../errors.js';
import type { LeaseRef } from '../../contract/activities.js';
import { fingerprint } from '../../store/seed-archive.js';
import type { AccountPorts } from '../model/account-ports.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { isSignedOut, isWriteFault } from './account-answers.js';
import { readAuth } from './read-auth.js';
import { isFenced, leaseLost } from './hold-seed.js';
import { stillOurs } from './still-leased.js';
import { RequestWatch } from './request-watch.js';
import { markDead, saveCredential } from './save-credential.js';
import { reportFault } from './task-account.js';
import { unguarded } from './unguarded.js';
import { checkHome } from './unwritable-home.js';
import type { AccountGuard } from '../model/account-guard.js';

/** How long codex gets to end a refresh before it is interrupted or stopped. Milliseconds. */
const BARRIER_MS = 15_000;
const ASK_MS = 5_000;
/** Between questions to a database that does not answer. Milliseconds. */
const RETRY_MS = 1_000;
/** Ends the session with this failure. */
export type FailSession = (code: ErrorCode, message: string) => void;

/** Guards the account of a task on a leased seed; a task without one has nothing to guard. */
export function guardAccount(
  host: AccountPorts,
  task: PreparedTask,
  rpc: Rpc,
  fail: FailSession,
): AccountGuard {
  const { lease } = task;
  // Tokens that the host owns are refreshed by the host alone.
  return lease && !task.account.tokens ? guardLeased(host, task, lease, rpc, fail) : unguarded(rpc);
}

function guardLeased(
  host: AccountPorts,
  task: PreparedTask,
  lease: LeaseRef,
  rpc: Rpc,
  fail: FailSession,
): AccountGuard {
  const { folder, ref } = task;
  const requests = new RequestWatch();
  const log = host.log.child({ taskId: ref.taskId, seedId: lease.seedId });
  /** Codex is being asked to refresh, and answers when it has. Interrupting a turn that waits for the same refresh would drop it. */
  let refreshing: Promise<void> | null = null;
  /** Fingerprint of an auth.json that ended soon when it was new: its clock or its maker's is not ours. */
  let endedSoonWhenNew: string | null = null;
  let held: (() => void)[] | null = null;
  let isOver = false;
  let isLost = false;
  const closed = new AbortController();
  void rpc.closed.then(() => closed.abort());
  const isOurs = (withinMs?: number) =>
    stillOurs(host, task, lease, { signal: closed.signal, ...(withinMs !== undefined && { withinMs }) });

  const guard: AccountGuard = {
    codex: {
      async call(method, params, options) {
        if (method === 'turn/start') await beforeTurn();
        if (method === 'turn/interrupt') await guard.barrier();
        return rpc.call(method, params, options);
      },
      respond: (...answer) => rpc.respond(...answer),
      respondError: (...answer) => rpc.respondError(...answer),
    },
    get mayRefresh() {
      return requests.mayRefresh || refreshing !== null;
    },
    assumeTurn: (threadId) => requests.assumeTurn(threadId),
    seen(method, params, pass) {
      requests.seen(method, params);
      if (held) return void held.push(pass);
      pass();
      const error = method === 'error' && isRecord(params) ? params['error'] : undefined;
      if (!isRecord(error)) return;
      if (isWriteFault(error)) void notWritten(String(error['additionalDetails']));
      // The turn's end comes right behind: what it means for the task has to be known before.
      if (error['codexErrorInfo'] === 'unauthorized') holdWhile(examine(String(error['message'])));
    },
    async barrier() {
      if (isLost || refreshing || !requests.mayRefresh) return refreshing ?? undefined;
      // Where nobody says that the seed is ours, nothing is spent to find out whether a refresh is over.
      if ((await isOurs(BARRIER_MS)) !== 'ours') return;
      await refreshKept();
      requests.settled();
    },
    giveUp: () => void (isLost = true),
    codexDied() {
      if (!guard.mayRefresh) return;
      const message = `codex ended while it may have been refreshing the tokens of seed ${lease.seedId}: if it was, the seed's refresh token is spent; verify it`;
      reportFault(host, task, { kind: 'refresh-lost', message });
    },
  };
  return guard;

  /** The time of the lease is over: this codex is being stopped, and the next one does what is left to do. */
  async function untilStopped(): Promise<never> {
    const reason = await rpc.closed;
    throw new RpcClosed(reason);
  }

  function holdWhile(known: Promise<void>): void {
    held = [];
    void known
      .catch((error: unknown) => log.warn({ reason: reasonOf(error) }, 'credential.examine.failed'))
      .then(() => {
        const waiting = held ?? [];
        held = null;
        for (const pass of waiting) pass();
      });
  }

  /** Makes codex refresh tokens that rotate, where it can keep them. */
  async function refreshKept(): Promise<void> {
    const bytes = await readAuth(folder);
    if (!bytes || !rotates(readAuthFacts(bytes)) || (await checkHome(host, task)) !== null) return;
    refreshing ??= refreshFrom(fingerprint(bytes)).finally(() => (refreshing = null));
    await refreshing;
  }

  /**
   * Codex waits for a refresh that is in flight, then makes one more, and its answer does not tell whether that was
   * written. When the file did not change, a second one tells: a token that was spent is refused for good.
   */
  async function refreshFrom(print: string | null): Promise<void> {
    const deadline = performance.now() + BARRIER_MS;
    for (let tries = 0; tries < 2 && !isOver; tries++) {
      const timeoutMs = deadline - performance.now();
      if (timeoutMs <= 0) break;
      try {
        const answer = await rpc.call('account/read', { refreshToken: true }, { timeoutMs });
        if (isSignedOut(answer)) return await died('its refresh token is refused');
      } catch (error) {
        // A refusal tells as well that the refresh is over.
        if (!(error instanceof RpcError))
          return log.warn({ reason: reasonOf(error) }, 'credential.refresh.late');
      }
      const now = await readAuth(folder);
      if (now && fingerprint(now) !== print) return;
    }
    if (!isOver) log.warn('credential.refresh.unchanged');
  }

  async function beforeTurn(): Promise<void> {
    if (await isFenced(task)) await untilStopped();
    const bytes = await readAuth(folder);
    if (!bytes) return;
    const facts = readAuthFacts(bytes);
    if (!rotates(facts)) return;
    const fault = await checkHome(host, task);
    if (fault !== null)
      throw new TaskError('HostUnfit', `auth.json cannot be replaced (${fault}): free the host's disk`);
    const print = fingerprint(bytes);
    if (!endsSoon(facts, new Date()) || print === endedSoonWhenNew) return;
    const answer = await isOurs();
    if (answer === 'taken') throw leaseLost(lease, 'it was leased to another before the turn began');
    if (answer === 'unknown') await untilStopped();
    await refreshKept();
    if (isOver) throw new TaskError('CredentialDead', `Seed ${lease.seedId} is dead`);
    const renewed = (await readAuth(folder)) ?? bytes;
    const now = readAuthFacts(renewed);
    if (now && endsSoon(now, new Date())) endedSoonWhenNew = fingerprint(renewed);
    await saved();
  }

  /** Resolves when the database has what codex refreshed; past the lease's time nothing of it may be used. */
  async function saved(): Promise<void> {
    for (;;) {
      try {
        const { kind } = await saveCredential(host, task, lease);
        if (kind === 'quarantined') throw leaseLost(lease, 'before the turn began');
        break;
      } catch (error) {
        if (error instanceof TaskError && error.code === 'LeaseLost') throw error;
        log.warn({ reason: reasonOf(error) }, 'credential.save.retry');
        if (await isFenced(task)) break;
        await delay(RETRY_MS);
      }
    }
    if (await isFenced(task)) await untilStopped();
  }

  /** Codex's tokens are refused. Signed out means for good; else its file was changed under it. */
  async function examine(said: string): Promise<void> {
    const answer = await rpc
      .call('account/read', { refreshToken: false }, { timeoutMs: ASK_MS })
      .catch(() => undefined);
    if (isSignedOut(answer)) return died(said);
    const message = `codex does not take the account in auth.json any more, though it is not refused: ${said}`;
    reportFault(host, task, { kind: 'foreign', message });
  }

  async function died(said: string): Promise<void> {
    if (isOver) return;
    isOver = true;
    const answer = await isOurs();
    // The next codex finds its tokens refused as well, and this is asked again.
    if (answer === 'unknown') await untilStopped();
    if (answer === 'taken') {
      const message = `Lease lost on seed ${lease.seedId}: another holder uses its account too, and codex's copy is refused (${said})`;
      reportFault(host, task, { kind: 'dead', message });
      return fail('LeaseLost', message);
    }
    task.account.dead = said;
    await markDead(host, task, lease);
    const message = `Seed ${lease.seedId} is dead: ${said}`;
    reportFault(host, task, { kind: 'dead', message });
    fail('CredentialDead', message);
  }

  /** The access token that codex has still works, so the task goes on; the next holder could not refresh. */
  async function notWritten(details: string): Promise<void> {
    const message = `codex could not write auth.json (${details}): the tokens it refreshed are lost, so seed ${lease.seedId} counts as dead; free the host's disk, then verify the seed or log in again`;
    task.account.dead = message;
    reportFault(host, task, { kind: 'unwritable', message });
    await markDead(host, task, lease);
  }
}

export type { AccountGuard } from '../model/account-guard.js';

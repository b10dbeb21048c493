import { endsSoon, readAuthFacts, rotates } from '../../codex/auth-json.js';
import { isRecord } from '../../codex/narrow.js';
import type { Rpc } from '../../codex/rpc.js';
import { RpcError } from '../../codex/rpc-errors.js';
import { reasonOf, TaskError, type ErrorCode } from '../../errors.js';
import type { LeaseRef } from '../../step-arguments.js';
import { fingerprint } from '../../store/seed-archive.js';
import type { CodexCalls } from '../conversation/codex-calls.js';
import type { HostContext } from '../host-context.js';
import type { PreparedTask } from '../prepared-task.js';
import { readAuth } from './read-auth.js';
import { renewTaskLease } from './renew-task-lease.js';
import { RequestWatch } from '../conversation/request-watch.js';
import { markDead, saveCredential } from './save-credential.js';
import { accountOf, sayFault } from './task-account.js';
import { checkHome } from './unwritable-home.js';

/** How long codex gets to end a refresh before it is interrupted or stopped. Milliseconds. */
const BARRIER_MS = 15_000;
const ASK_MS = 5_000;
/** Pause between attempts to save what was refreshed ahead of a turn. Milliseconds. */
const SAVE_RETRY_MS = 1_000;

/** Stands between a conversation and codex, so that nothing cuts a refresh of the account's tokens short. */
export interface AccountGuard {
  /** Codex as the conversation calls it: a turn begins with tokens that last, an interrupt waits for a refresh. */
  readonly codex: CodexCalls;
  /** A refresh may be in flight. */
  readonly mayRefresh: boolean;
  /** A turn runs of whose beginning this connection has heard nothing. */
  assumeTurn(threadId: string): void;
  /** Takes each notification of codex, in wire order; `pass` hands it on, at once or after what it means is known. */
  seen(method: string, params: unknown, pass: () => void): void;
  /** Resolves when no refresh is in flight any more, at the latest after 15 s. At once when none can be. */
  barrier(): Promise<void>;
  /** The lease is lost: another uses these tokens, so that codex must not be made to refresh them. */
  giveUp(): void;
  /** Codex is gone without having been stopped. */
  codexDied(): void;
}

/** Ends the session with this failure. */
export type FailSession = (code: ErrorCode, message: string) => void;

/** Guards the account of a task on a leased seed; a task without one has nothing to guard. */
export function guardAccount(
  host: HostContext,
  task: PreparedTask,
  rpc: Rpc,
  fail: FailSession,
): AccountGuard {
  const { lease, tokens } = task;
  // Tokens that the host owns are refreshed by the host alone.
  return lease && !tokens ? guardLeased(host, task, lease, rpc, fail) : unguarded(rpc);
}

const unguarded = (codex: CodexCalls): AccountGuard => ({
  codex,
  mayRefresh: false,
  assumeTurn: () => undefined,
  seen: (_method, _params, pass) => pass(),
  barrier: () => Promise.resolve(),
  giveUp: () => undefined,
  codexDied: () => undefined,
});

function guardLeased(
  host: HostContext,
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
      await refreshKept();
      requests.settled();
    },
    giveUp: () => void (isLost = true),
    codexDied() {
      if (!guard.mayRefresh) return;
      const message = `codex ended while it may have been refreshing the tokens of seed ${lease.seedId}: if it was, the seed's refresh token is spent; verify it`;
      sayFault(host, task, { kind: 'refresh-lost', message });
    },
  };
  return guard;

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
   * written (0.169.0). When the file did not change, a second one tells: a token that was spent is refused for good.
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
    const bytes = await readAuth(folder);
    if (!bytes) return;
    const facts = readAuthFacts(bytes);
    if (!rotates(facts)) return;
    const fault = await checkHome(host, task);
    if (fault !== null)
      throw new TaskError('HostUnfit', `auth.json cannot be replaced (${fault}): free the host's disk`);
    const print = fingerprint(bytes);
    if (!endsSoon(facts, new Date()) || print === endedSoonWhenNew) return;
    await refreshKept();
    if (isOver) throw new TaskError('CredentialDead', `Seed ${lease.seedId} is dead`);
    const renewed = (await readAuth(folder)) ?? bytes;
    const now = readAuthFacts(renewed);
    if (now && endsSoon(now, new Date())) endedSoonWhenNew = fingerprint(renewed);
    await saved();
  }

  /** Resolves when the database has what codex refreshed; past the lease's time nothing of it may be used. */
  async function saved(): Promise<void> {
    const deadline = performance.now() + host.leaseTtlMs;
    for (;;) {
      try {
        const { kind } = await saveCredential(host, task, lease);
        if (kind !== 'quarantined') return;
      } catch (error) {
        log.warn({ reason: reasonOf(error) }, 'credential.save.retry');
        if (performance.now() < deadline) {
          await new Promise((resolve) => setTimeout(resolve, SAVE_RETRY_MS));
          continue;
        }
      }
      throw new TaskError('LeaseLost', `Lease lost on seed ${lease.seedId} before the turn began`);
    }
  }

  /** Codex's tokens are refused. Signed out means for good; else its file was changed under it. */
  async function examine(said: string): Promise<void> {
    const answer = await rpc
      .call('account/read', { refreshToken: false }, { timeoutMs: ASK_MS })
      .catch(() => undefined);
    if (isSignedOut(answer)) return died(said);
    const message = `codex does not take the account in auth.json any more, though it is not refused: ${said}`;
    sayFault(host, task, { kind: 'foreign', message });
  }

  async function died(said: string): Promise<void> {
    if (isOver) return;
    isOver = true;
    const account = accountOf(task);
    account.dead = said;
    const isOurs = await renewTaskLease(host, ref.taskId, lease).catch(() => true);
    if (!isOurs) {
      account.dead = null;
      const message = `Lease lost on seed ${lease.seedId}: another holder uses its account too, and codex's copy is refused (${said})`;
      sayFault(host, task, { kind: 'dead', message });
      return fail('LeaseLost', message);
    }
    await markDead(host, task, lease);
    const message = `Seed ${lease.seedId} is dead: ${said}`;
    sayFault(host, task, { kind: 'dead', message });
    fail('CredentialDead', message);
  }

  /** The access token that codex has still works, so the task goes on; the next holder could not refresh. */
  async function notWritten(details: string): Promise<void> {
    const message = `codex could not write auth.json (${details}): the tokens it refreshed are lost, so seed ${lease.seedId} counts as dead; free the host's disk, then verify the seed or log in again`;
    accountOf(task).dead = message;
    sayFault(host, task, { kind: 'unwritable', message });
    await markDead(host, task, lease);
  }
}

/** `account` is null after a refusal for good, without another call to OpenAI (0.169.0). */
const isSignedOut = (answer: unknown) => isRecord(answer) && answer['account'] === null;

/** Errors of a file system: not permitted, I/O, access, is a directory, no space, read-only, quota. */
const FILE_ERRORS = /\(os error (1|5|13|21|28|30|122)\)/;

/** Codex 0.169.0 shows a failed write of auth.json as a model stream that broke off without a status. */
const isWriteFault = ({ additionalDetails }: Record<string, unknown>) =>
  typeof additionalDetails === 'string' && FILE_ERRORS.test(additionalDetails);

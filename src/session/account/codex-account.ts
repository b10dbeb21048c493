import { isRecord } from '../../codex/narrow.js';
import type { Rpc } from '../../codex/rpc.js';
import { reasonOf } from '../../errors.js';
import type { CodexCalls } from '../conversation/codex-calls.js';
import type { CodexAccount } from '../model/codex-account.js';
import type { AccountPorts } from '../model/account-ports.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { isWriteFault } from './account-answers.js';
import { FreshTokens } from './fresh-tokens.js';
import { LeasedCodex } from './leased-codex.js';
import { RefreshBarrier } from './refresh-barrier.js';
import { RequestWatch } from './request-watch.js';
import { reportFault } from './task-account.js';
import { TokenDiagnosis, type FailSession } from './token-diagnosis.js';
import { accountWithoutLease } from './account-without-lease.js';

export type { CodexAccount } from '../model/codex-account.js';
export type { FailSession } from './token-diagnosis.js';

/** Guards the account of a task on a leased seed; a task without one has nothing to guard. */
export function openCodexAccount(
  host: AccountPorts,
  task: PreparedTask,
  rpc: Rpc,
  fail: FailSession,
): CodexAccount {
  const { lease } = task;
  // Tokens that the host owns are refreshed by the host alone.
  return lease && !task.account.tokens
    ? new LeasedAccount(new LeasedCodex(host, task, lease, rpc), fail)
    : accountWithoutLease(rpc);
}

/** Connects refresh barrier, refreshes and diagnosis to the notifications of one Codex. */
class LeasedAccount implements CodexAccount {
  readonly codex: CodexCalls;
  readonly #requests = new RequestWatch();
  readonly #diagnosis: TokenDiagnosis;
  readonly #barrier: RefreshBarrier;
  /** Notifications that wait until a refused token is explained; null: none waits. */
  #held: (() => void)[] | null = null;

  constructor(
    private readonly leased: LeasedCodex,
    fail: FailSession,
  ) {
    const { rpc } = leased;
    this.#diagnosis = new TokenDiagnosis(leased, fail);
    this.#barrier = new RefreshBarrier(leased, this.#requests, this.#diagnosis);
    const tokens = new FreshTokens(leased, this.#barrier, this.#diagnosis);
    this.codex = {
      call: async (method, params, options) => {
        if (method === 'turn/start') await tokens.beforeTurn();
        if (method === 'turn/interrupt') await this.barrier();
        return rpc.call(method, params, options);
      },
      respond: (...answer) => rpc.respond(...answer),
      respondError: (...answer) => rpc.respondError(...answer),
    };
  }

  get mayRefresh(): boolean {
    return this.#barrier.mayRefresh;
  }

  assumeTurn(threadId: string): void {
    this.#requests.assumeTurn(threadId);
  }

  seen(method: string, params: unknown, pass: () => void): void {
    this.#requests.seen(method, params);
    if (this.#held) return void this.#held.push(pass);
    pass();
    const error = method === 'error' && isRecord(params) ? params['error'] : undefined;
    if (!isRecord(error)) return;
    if (isWriteFault(error)) void this.#diagnosis.notWritten(String(error['additionalDetails']));
    // The end of the turn follows at once: its meaning for the task has to be known before.
    if (error['codexErrorInfo'] === 'unauthorized')
      this.#holdWhile(this.#diagnosis.examine(String(error['message'])));
  }

  #holdWhile(known: Promise<void>): void {
    this.#held = [];
    void known
      .catch((error: unknown) =>
        this.leased.log.warn({ reason: reasonOf(error) }, 'credential.examine.failed'),
      )
      .then(() => {
        const waiting = this.#held ?? [];
        this.#held = null;
        for (const pass of waiting) pass();
      });
  }

  barrier(): Promise<void> {
    return this.#barrier.whenOver();
  }

  giveUp(): void {
    this.#barrier.giveUp();
  }

  codexDied(): void {
    if (!this.mayRefresh) return;
    const { host, task, lease } = this.leased;
    const message = `codex ended while it may have been refreshing the tokens of seed ${lease.seedId}: if it was, the seed's refresh token is spent; verify it`;
    reportFault(host, task, { kind: 'refresh-lost', message });
  }
}

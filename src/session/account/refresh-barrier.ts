import { readAuthFacts, rotates } from '../../codex/auth-json.js';
import { RpcError } from '../../codex/rpc-errors.js';
import { reasonOf } from '../../errors.js';
import { fingerprint } from '../../store/seed-archive.js';
import { isSignedOut } from './account-answers.js';
import type { LeasedCodex } from './leased-codex.js';
import { readAuth } from './read-auth.js';
import type { RequestWatch } from './request-watch.js';
import type { TokenDiagnosis } from './token-diagnosis.js';
import { checkHome } from './unwritable-home.js';

/** How long Codex may take to end a refresh before it is interrupted or stopped. Milliseconds. */
const BARRIER_MS = 15_000;

/** Waits for a refresh that Codex may have in flight, and asks it to refresh. */
export class RefreshBarrier {
  /** Codex is being asked to refresh. Interrupting a turn that waits for the same refresh would drop it. */
  #refreshing: Promise<void> | null = null;
  #isLost = false;

  constructor(
    private readonly codex: LeasedCodex,
    private readonly requests: RequestWatch,
    private readonly diagnosis: TokenDiagnosis,
  ) {}

  get mayRefresh(): boolean {
    return this.requests.mayRefresh || this.#refreshing !== null;
  }

  /** The lease is lost: waits for nothing, and refreshes nothing to find out. */
  giveUp(): void {
    this.#isLost = true;
  }

  /** Resolves when no refresh is in flight, after 15 s at the latest. */
  async whenOver(): Promise<void> {
    if (this.#isLost || this.#refreshing || !this.requests.mayRefresh) return this.#refreshing ?? undefined;
    // Spends no token to find out whether a refresh is over while nobody confirms the lease.
    if ((await this.codex.isOurs(BARRIER_MS)) !== 'ours') return;
    await this.refreshKept();
    this.requests.settled();
  }

  /** Makes Codex refresh rotating tokens, where it can write them. */
  async refreshKept(): Promise<void> {
    const { host, task } = this.codex;
    const bytes = await readAuth(task.folder);
    if (!bytes || !rotates(readAuthFacts(bytes)) || (await checkHome(host, task)) !== null) return;
    this.#refreshing ??= this.#refreshFrom(fingerprint(bytes)).finally(() => (this.#refreshing = null));
    await this.#refreshing;
  }

  /**
   * Codex ends a refresh in flight, then makes one more, but does not report whether it was written. When the file
   * did not change, a second one tells: a spent token is refused for good.
   */
  async #refreshFrom(print: string | null): Promise<void> {
    const { rpc, task, log } = this.codex;
    const deadline = performance.now() + BARRIER_MS;
    for (let tries = 0; tries < 2 && !this.diagnosis.isOver; tries++) {
      const timeoutMs = deadline - performance.now();
      if (timeoutMs <= 0) break;
      try {
        const answer = await rpc.call('account/read', { refreshToken: true }, { timeoutMs });
        if (isSignedOut(answer)) return await this.diagnosis.died('its refresh token is refused');
      } catch (error) {
        // A refusal also shows that the refresh is over.
        if (!(error instanceof RpcError))
          return log.warn({ reason: reasonOf(error) }, 'credential.refresh.late');
      }
      const now = await readAuth(task.folder);
      if (now && fingerprint(now) !== print) return;
    }
    if (!this.diagnosis.isOver) log.warn('credential.refresh.unchanged');
  }
}

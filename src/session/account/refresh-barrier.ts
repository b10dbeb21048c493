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

/** How long codex gets to end a refresh before it is interrupted or stopped. Milliseconds. */
const BARRIER_MS = 15_000;

/** Waits for a refresh that codex may have in flight, and makes it refresh. */
export class RefreshBarrier {
  /** Codex is being asked to refresh, and answers when it has. Interrupting a turn that waits for the same refresh would drop it. */
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

  /** The lease is lost: nothing is waited for, and nothing refreshed to find out. */
  giveUp(): void {
    this.#isLost = true;
  }

  /** Resolves when no refresh is in flight any more, at the latest after 15 s. */
  async whenOver(): Promise<void> {
    if (this.#isLost || this.#refreshing || !this.requests.mayRefresh) return this.#refreshing ?? undefined;
    // Where nobody says that the seed is ours, nothing is spent to find out whether a refresh is over.
    if ((await this.codex.isOurs(BARRIER_MS)) !== 'ours') return;
    await this.refreshKept();
    this.requests.settled();
  }

  /** Makes codex refresh tokens that rotate, where it can keep them. */
  async refreshKept(): Promise<void> {
    const { host, task } = this.codex;
    const bytes = await readAuth(task.folder);
    if (!bytes || !rotates(readAuthFacts(bytes)) || (await checkHome(host, task)) !== null) return;
    this.#refreshing ??= this.#refreshFrom(fingerprint(bytes)).finally(() => (this.#refreshing = null));
    await this.#refreshing;
  }

  /**
   * Codex waits for a refresh that is in flight, then makes one more, and its answer does not tell whether that was
   * written. When the file did not change, a second one tells: a token that was spent is refused for good.
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
        // A refusal tells as well that the refresh is over.
        if (!(error instanceof RpcError))
          return log.warn({ reason: reasonOf(error) }, 'credential.refresh.late');
      }
      const now = await readAuth(task.folder);
      if (now && fingerprint(now) !== print) return;
    }
    if (!this.diagnosis.isOver) log.warn('credential.refresh.unchanged');
  }
}

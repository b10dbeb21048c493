import type { ErrorCode } from '../../errors.js';
import { isSignedOut } from './account-answers.js';
import type { LeasedCodex } from './leased-codex.js';
import { markDead } from './save-credential.js';
import { reportFault } from './task-account.js';

const ASK_MS = 5_000;

/** Ends the session with this failure. */
export type FailSession = (code: ErrorCode, message: string) => void;

/** Decides what refused or unwritten tokens of Codex mean for the task and its seed. */
export class TokenDiagnosis {
  #isOver = false;

  constructor(
    private readonly codex: LeasedCodex,
    private readonly fail: FailSession,
  ) {}

  /** The tokens are refused for good, or another holder has the lease: refreshes stop. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Codex's tokens are refused: signed out means for good; else its file was changed. */
  async examine(said: string): Promise<void> {
    const { host, task, rpc } = this.codex;
    const answer = await rpc
      .call('account/read', { refreshToken: false }, { timeoutMs: ASK_MS })
      .catch(() => undefined);
    if (isSignedOut(answer)) return this.died(said);
    const message = `codex no longer accepts the account in auth.json, though OpenAI does not refuse it: ${said}`;
    reportFault(host, task, { kind: 'foreign', message });
  }

  /** Codex gave its tokens up. Whether that kills the seed depends on who holds it by now. */
  async died(said: string): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    const { host, task, lease } = this.codex;
    const answer = await this.codex.isOurs();
    // The next Codex finds its tokens refused as well and comes here again.
    if (answer === 'unknown') await this.codex.untilStopped();
    if (answer === 'taken') {
      const message = `Lease lost on seed ${lease.seedId}: another holder uses its account too, and codex's copy is refused (${said})`;
      reportFault(host, task, { kind: 'dead', message });
      return this.fail('LeaseLost', message);
    }
    task.account.dead = said;
    await markDead(host, task, lease);
    const message = `Seed ${lease.seedId} is dead: ${said}`;
    reportFault(host, task, { kind: 'dead', message });
    this.fail('CredentialDead', message);
  }

  /** Codex's access token still works, so the task continues; the next holder could not refresh. */
  async notWritten(details: string): Promise<void> {
    const { host, task, lease } = this.codex;
    const message = `codex could not write auth.json (${details}): the tokens it refreshed are lost, so seed ${lease.seedId} counts as dead; free the host's disk, then verify the seed or log in again`;
    task.account.dead = message;
    reportFault(host, task, { kind: 'unwritable', message });
    await markDead(host, task, lease);
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { endsSoon, readAuthFacts, rotates } from '../../codex/auth-json.js';
import { reasonOf, TaskError } from '../../errors.js';
import { fingerprint } from '../../store/seed-archive.js';
import { isFenced, leaseLost } from './hold-seed.js';
import type { LeasedCodex } from './leased-codex.js';
import { readAuth } from './read-auth.js';
import type { RefreshBarrier } from './refresh-barrier.js';
import { saveCredential } from './save-credential.js';
import type { TokenDiagnosis } from './token-diagnosis.js';
import { checkHome } from './unwritable-home.js';

/** Pause between queries to a database that does not answer. Milliseconds. */
const RETRY_MS = 1_000;

/** Makes a turn begin with tokens that last and that the database has. */
export class FreshTokens {
  /** Fingerprint of an auth.json whose new tokens ended soon: its clock or its issuer's differs from ours. */
  #endedSoonWhenNew: string | null = null;

  constructor(
    private readonly codex: LeasedCodex,
    private readonly barrier: RefreshBarrier,
    private readonly diagnosis: TokenDiagnosis,
  ) {}

  /**
   * Never resolves for a Codex that is to be stopped.
   * @throws RpcClosed once Codex is stopped; TaskError `HostUnfit`, `LeaseLost`, `CredentialDead`: no turn may begin
   */
  async beforeTurn(): Promise<void> {
    const { host, task, lease } = this.codex;
    if (await isFenced(task)) await this.codex.untilStopped();
    const bytes = await readAuth(task.folder);
    if (!bytes) return;
    const facts = readAuthFacts(bytes);
    if (!rotates(facts)) return;
    const fault = await checkHome(host, task);
    if (fault !== null)
      throw new TaskError('HostUnfit', `auth.json cannot be replaced (${fault}): free the host's disk`);
    if (!endsSoon(facts, new Date()) || fingerprint(bytes) === this.#endedSoonWhenNew) return;
    const answer = await this.codex.isOurs();
    if (answer === 'taken') throw leaseLost(lease, 'it was leased to another before the turn began');
    if (answer === 'unknown') await this.codex.untilStopped();
    await this.barrier.refreshKept();
    if (this.diagnosis.isOver) throw new TaskError('CredentialDead', `Seed ${lease.seedId} is dead`);
    const renewed = (await readAuth(task.folder)) ?? bytes;
    const now = readAuthFacts(renewed);
    if (now && endsSoon(now, new Date())) this.#endedSoonWhenNew = fingerprint(renewed);
    await this.#saved();
  }

  /** Resolves once the database has the refreshed credential; after the lease's time nothing of it may be used. */
  async #saved(): Promise<void> {
    const { host, task, lease, log } = this.codex;
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
    if (await isFenced(task)) await this.codex.untilStopped();
  }
}

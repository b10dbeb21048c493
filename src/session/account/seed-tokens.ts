import { setTimeout as delay } from 'node:timers/promises';
import { readAuthFacts, withTokens, type AuthFacts } from '../../codex/auth-json.js';
import { refreshTokens, tokenUrlOf } from '../../codex/oauth.js';
import type { ChatgptAuthTokensRefreshResponse } from '../../codex/protocol.js';
import { keepTrying } from '../../async/keep-trying.js';
import type { LeaseRef } from '../../contract/activities.js';
import { reasonOf, TaskError } from '../../errors.js';
import type { Log } from '../../log.js';
import { markLeased } from '../../store/assign-seed.js';
import { readSeed, saveBack } from '../../store/seeds.js';
import { taskFolder } from '../../task-folder/task-folder.js';
import type { TokenPorts } from '../model/account-ports.js';
import { leaseLost } from './hold-seed.js';
import { afterSaves } from './save-credential.js';
import { stillOurs } from './still-leased.js';

/** Tokens that Codex needs to ask the model. */
export type AccessTokens = ChatgptAuthTokensRefreshResponse;

/** Codex asks once for each refused thread: all get the same new token. */
const SAME_REFUSAL_MS = 2_000;
/** Waits for this answer, without which the account may be lost. */
const REFRESH_MS = 60_000;
/** How long the database may take to confirm the lease: as long as Codex waits for its answer. Milliseconds. */
const LEASE_MS = 60_000;
const TRIES = 4;
const RETRY_MS = 1_000;

/**
 * The tokens of a leased seed, refreshed by this process, one refresh at a time. A rotated token is in the database
 * before anybody gets its access token.
 */
export class SeedTokens {
  #known: Buffer | null = null;
  #flight: Promise<AccessTokens> | null = null;
  #refreshed: { at: number; answer: AccessTokens } | null = null;
  #lostReason: string | null = null;

  constructor(
    private readonly host: TokenPorts,
    private readonly log: Log,
    private readonly taskId: string,
    private readonly lease: LeaseRef,
  ) {}

  /** The refresh in flight; null: none. */
  get underWay(): Promise<AccessTokens> | null {
    return this.#flight;
  }

  /** The newest auth.json. @throws TaskError `NoCredential` */
  async current(): Promise<Buffer> {
    const { host, lease } = this;
    this.#known ??= (await readSeed(host.store, lease.seedId))?.authJson ?? null;
    if (this.#known === null) throw new TaskError('NoCredential', `Seed ${lease.seedId} holds no auth.json`);
    return this.#known;
  }

  /** @throws TaskError `CredentialDead`, `LeaseLost`, `NoCredential`, `Unavailable` */
  refresh(): Promise<AccessTokens> {
    if (this.#refreshed && performance.now() - this.#refreshed.at < SAME_REFUSAL_MS)
      return Promise.resolve(this.#refreshed.answer);
    this.#flight ??= this.#rotate().finally(() => (this.#flight = null));
    return this.#flight;
  }

  async #rotate(): Promise<AccessTokens> {
    if (this.#lostReason !== null) throw this.#dead(this.#lostReason);
    const { host, log, taskId, lease } = this;
    const before = await this.current();
    const token = factsOf(before).refreshToken;
    if (token === null) throw this.#dead('it has no refresh token');
    const tokens = await this.#spend(token);
    const after = withTokens(before, tokens);
    // Only these tokens work from here on, and until they are saved this is their only copy.
    this.#known = after;
    const saved = await keepTrying(
      () => afterSaves(host, taskId, () => saveBack(host.store, lease, after, { taskId })),
      (error) => log.error({ reason: reasonOf(error) }, 'credential.save.retry'),
    );
    if (saved.kind === 'quarantined') {
      log.error({ reason: saved.reason, quarantineId: saved.quarantineId }, 'credential.quarantined');
      throw leaseLost(lease, saved.reason);
    }
    log.info('credential.saved');
    const answer = accessTokensOf(factsOf(after), lease.seedId);
    this.#refreshed = { at: performance.now(), answer };
    return answer;
  }

  /** Retries temporary failures; a permanent refusal retires the seed. */
  async #spend(token: string) {
    const { host, log, lease } = this;
    for (let tries = 1; ; tries++) {
      await this.#requireLease();
      const result = await refreshTokens(tokenUrlOf(host.env), token, REFRESH_MS);
      if (result.kind === 'refreshed') return result.tokens;
      log.warn({ reason: result.reason, tries }, 'credential.refresh.failed');
      if (result.kind === 'lost') {
        // Use of the seed by another holder looks the same; that holder judges it.
        await this.#requireLease();
        this.#lostReason = result.reason;
        await markLeased(host.store, lease, 'dead').catch((error: unknown) =>
          log.warn({ reason: reasonOf(error) }, 'seed.mark.failed'),
        );
        throw this.#dead(result.reason);
      }
      if (tries === TRIES)
        throw new TaskError('Unavailable', `Seed ${lease.seedId} could not be refreshed: ${result.reason}`);
      await delay(RETRY_MS * tries);
    }
  }

  /** Spends a token only if it could be saved: the lease must be valid, and the database reachable. */
  async #requireLease(): Promise<void> {
    const { host, taskId, lease } = this;
    const folder = taskFolder(host.config.dataDir, taskId);
    const answer = await stillOurs(host, { ref: { taskId }, folder }, lease, { withinMs: LEASE_MS });
    if (answer === 'taken') throw leaseLost(lease, 'it was leased to another');
    if (answer === 'unknown')
      throw new TaskError('Unavailable', `The database does not say who holds seed ${lease.seedId}`);
  }

  #dead(reason: string): TaskError {
    return new TaskError(
      'CredentialDead',
      `Seed ${this.lease.seedId} cannot be refreshed (${reason}): log in again`,
    );
  }
}

export const factsOf = (authJson: Buffer): AuthFacts =>
  readAuthFacts(authJson) ?? readAuthFacts(Buffer.from('{}'))!;

/** @throws TaskError `CredentialDead` for a login that names no account */
export function accessTokensOf({ accessToken, accountId, plan }: AuthFacts, seedId: string): AccessTokens {
  if (accessToken === null || accountId === null)
    throw new TaskError('CredentialDead', `Seed ${seedId} names no account: log in again`);
  return { accessToken, chatgptAccountId: accountId, chatgptPlanType: plan };
}

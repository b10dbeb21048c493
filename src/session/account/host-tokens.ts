import { endsSoon, readAuthFacts, withTokens, type AuthFacts } from '../../codex/auth-json.js';
import { readRequest } from '../../codex/narrow.js';
import { refreshTokens, tokenUrlOf } from '../../codex/oauth.js';
import type { ChatgptAuthTokensRefreshResponse } from '../../codex/protocol.js';
import { setTimeout as delay } from 'node:timers/promises';
import { reasonOf, TaskError, type ErrorCode } from '../../errors.js';
import type { LeaseRef } from '../../contract/activities.js';
import { credentialIn } from '../../store/auth-shape.js';
import { markLeased } from '../../store/assign-seed.js';
import { readSeed, saveBack } from '../../store/seeds.js';
import type { TokenPorts } from '../model/account-ports.js';
import { keepTrying } from '../../async/keep-trying.js';
import { taskFolder } from '../../task-folder/task-folder.js';
import { leaseLost } from './hold-seed.js';
import { afterSaves } from './save-credential.js';
import { stillOurs } from './still-leased.js';
import type { HostTokens } from '../model/access-tokens.js';
import type { TaskSpec } from '../../contract/task-spec.js';

/** Whether codex gets access tokens instead of a credential. */
export const ownsTokens = ({ credential }: Pick<TaskSpec, 'credential'>): boolean =>
  'hostOwnedTokens' in credential && credential.hostOwnedTokens === true;
type Answer = ChatgptAuthTokensRefreshResponse;

/** Codex waits 10 s for an answer, then asks again, six times in all. */
const ANSWER_MS = 9_000;
/** Codex asks once for each of its threads that was refused: they get the one new token. */
const SAME_REFUSAL_MS = 2_000;
/** Without its answer the account may be lost, so it is waited for. */
const REFRESH_MS = 60_000;
/** How long the database may take to say whose the seed is: as long as codex asks for its answer. Milliseconds. */
const LEASE_MS = 60_000;
const TRIES = 4;
const RETRY_MS = 1_000;
const LOGIN_MS = 30_000;
const SETTLE_MS = 7_000;
const UNAUTHORIZED = -32_001;

/** What no later try can mend. */
const LOST = new Set<ErrorCode>(['CredentialDead', 'LeaseLost', 'NoCredential']);

/**
 * Refreshes a leased seed's tokens for a codex that has none of its own. One refresh at a time; a rotated token is
 * in the database before codex gets what came with it.
 */
export function openHostTokens(host: TokenPorts, taskId: string, lease: LeaseRef): HostTokens {
  const { seedId } = lease;
  const log = host.log.child({ taskId, seedId });
  let known: Buffer | null = null;
  let flight: Promise<Answer> | null = null;
  let refreshed: { at: number; answer: Answer } | null = null;
  let lostReason: string | null = null;

  async function current(): Promise<Buffer> {
    known ??= (await readSeed(host.store, seedId))?.authJson ?? null;
    if (known === null) throw new TaskError('NoCredential', `Seed ${seedId} holds no auth.json`);
    return known;
  }

  function refresh(): Promise<Answer> {
    if (refreshed && performance.now() - refreshed.at < SAME_REFUSAL_MS)
      return Promise.resolve(refreshed.answer);
    flight ??= rotate().finally(() => (flight = null));
    return flight;
  }

  async function rotate(): Promise<Answer> {
    if (lostReason !== null) throw dead(lostReason);
    const before = await current();
    const token = factsOf(before).refreshToken;
    if (token === null) throw dead('it has no refresh token');
    const tokens = await spend(token);
    const after = withTokens(before, tokens);
    // From here on only these tokens work: until they are saved this is their only place.
    known = after;
    const saved = await keepTrying(
      () => afterSaves(host, taskId, () => saveBack(host.store, lease, after, { taskId })),
      (error) => log.error({ reason: reasonOf(error) }, 'credential.save.retry'),
    );
    if (saved.kind === 'quarantined') {
      log.error({ reason: saved.reason, quarantineId: saved.quarantineId }, 'credential.quarantined');
      throw new TaskError('LeaseLost', `Lease lost on seed ${seedId}: ${saved.reason}`);
    }
    log.info('credential.saved');
    const answer = answerOf(factsOf(after), seedId);
    refreshed = { at: performance.now(), answer };
    return answer;
  }

  /** Tries again what may pass; what is refused for good takes the seed out of its pool. */
  async function spend(token: string) {
    for (let tries = 1; ; tries++) {
      await requireLease();
      const result = await refreshTokens(tokenUrlOf(host.env), token, REFRESH_MS);
      if (result.kind === 'refreshed') return result.tokens;
      log.warn({ reason: result.reason, tries }, 'credential.refresh.failed');
      if (result.kind === 'lost') {
        // Another's use of the seed also looks like this; what becomes of it then is for that one to say.
        await requireLease();
        lostReason = result.reason;
        await markLeased(host.store, lease, 'dead').catch((error: unknown) =>
          log.warn({ reason: reasonOf(error) }, 'seed.mark.failed'),
        );
        throw dead(result.reason);
      }
      if (tries === TRIES)
        throw new TaskError('Unavailable', `Seed ${seedId} could not be refreshed: ${result.reason}`);
      await delay(RETRY_MS * tries);
    }
  }

  /** A token is not spent that could not be saved: the lease must be ours, and the database there. */
  async function requireLease(): Promise<void> {
    const folder = taskFolder(host.config.dataDir, taskId);
    const answer = await stillOurs(host, { ref: { taskId }, folder }, lease, { withinMs: LEASE_MS });
    if (answer === 'taken') throw leaseLost(lease, 'it was leased to another');
    if (answer === 'unknown') throw new TaskError('Unavailable', `Nobody says whose seed ${seedId} is`);
  }
  const dead = (reason: string) =>
    new TaskError('CredentialDead', `Seed ${seedId} cannot be refreshed (${reason}): log in again`);

  return {
    async login(rpc) {
      const authJson = await current();
      if (credentialIn(authJson) !== 'tokens')
        throw new TaskError(
          'BadInput',
          `credential.hostOwnedTokens: expected a seed with refresh tokens, got seed ${seedId} with a key that nobody refreshes: leave it out`,
        );
      const facts = factsOf(authJson);
      // Codex gets none that it would have to ask for again soon.
      const isSpent = facts.accessToken === null || endsSoon(facts, new Date());
      const answer = isSpent ? await refresh() : answerOf(facts, seedId);
      await rpc.call(
        'account/login/start',
        { type: 'chatgptAuthTokens', ...answer },
        { timeoutMs: LOGIN_MS },
      );
    },

    answer(rpc, { id, method, params }, fail) {
      if (readRequest(method, params)?.method !== 'account/chatgptAuthTokens/refresh') return false;
      const askedAt = performance.now();
      const isLate = () => performance.now() - askedAt > ANSWER_MS;
      refresh().then(
        // A late one is not heard any more: codex has asked again by then.
        (answer) => isLate() || quietly(() => rpc.respond(id, answer)),
        (error: unknown) => {
          log.error({ reason: reasonOf(error) }, 'credential.refused');
          if (error instanceof TaskError && LOST.has(error.code)) fail(error);
          if (!isLate()) quietly(() => rpc.respondError(id, UNAUTHORIZED, reasonOf(error)));
        },
      );
      return true;
    },

    async settled() {
      if (!flight) return;
      const late = new AbortController();
      const isLate = delay(SETTLE_MS, true, { signal: late.signal }).catch(() => false);
      if (
        await Promise.race([
          isLate,
          flight.then(
            () => false,
            () => false,
          ),
        ])
      )
        log.error('credential.unsettled');
      late.abort();
    },
  };
}

/** On a connection that is gone nobody waits: codex asks again on the next one. */
function quietly(send: () => void): void {
  try {
    send();
  } catch {
    // Said above.
  }
}

const factsOf = (authJson: Buffer): AuthFacts => readAuthFacts(authJson) ?? readAuthFacts(Buffer.from('{}'))!;

function answerOf({ accessToken, accountId, plan }: AuthFacts, seedId: string): Answer {
  if (accessToken === null || accountId === null)
    throw new TaskError('CredentialDead', `Seed ${seedId} names no account: log in again`);
  return { accessToken, chatgptAccountId: accountId, chatgptPlanType: plan };
}

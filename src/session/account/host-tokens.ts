import { within } from '../../async/within.js';
import { endsSoon } from '../../codex/auth-json.js';
import { readRequest } from '../../codex/narrow.js';
import type { Rpc } from '../../codex/rpc.js';
import { reasonOf, TaskError, type ErrorCode } from '../../errors.js';
import type { LeaseRef } from '../../contract/activities.js';
import type { Log } from '../../log.js';
import { credentialIn } from '../../store/auth-shape.js';
import type { AccountRequest, HostTokens } from '../model/access-tokens.js';
import type { TokenPorts } from '../model/account-ports.js';
import type { TaskSpec } from '../../contract/task-spec.js';
import { accessTokensOf, factsOf, SeedTokens } from './seed-tokens.js';

/** Whether codex gets access tokens instead of a credential. */
export const ownsTokens = ({ credential }: Pick<TaskSpec, 'credential'>): boolean =>
  'hostOwnedTokens' in credential && credential.hostOwnedTokens === true;

/** Codex waits 10 s for an answer, then asks again, six times in all. */
const ANSWER_MS = 9_000;
const LOGIN_MS = 30_000;
const SETTLE_MS = 7_000;
const UNAUTHORIZED = -32_001;

/** Errors that no retry can mend. */
const LOST = new Set<ErrorCode>(['CredentialDead', 'LeaseLost', 'NoCredential']);

/** Supplies access tokens of a leased seed to a Codex that has no refresh token. */
export function openHostTokens(host: TokenPorts, taskId: string, lease: LeaseRef): HostTokens {
  const log = host.log.child({ taskId, seedId: lease.seedId });
  return new TokensForCodex(new SeedTokens(host, log, taskId, lease), log, lease);
}

class TokensForCodex implements HostTokens {
  constructor(
    private readonly tokens: SeedTokens,
    private readonly log: Log,
    private readonly lease: LeaseRef,
  ) {}

  async login(rpc: Rpc): Promise<void> {
    const { seedId } = this.lease;
    const authJson = await this.tokens.current();
    if (credentialIn(authJson) !== 'tokens')
      throw new TaskError(
        'BadInput',
        `credential.hostOwnedTokens: expected a seed with refresh tokens, got seed ${seedId} with a key that nobody refreshes: leave it out`,
      );
    const facts = factsOf(authJson);
    // Codex gets no token that it would have to ask for again soon.
    const isSpent = facts.accessToken === null || endsSoon(facts, new Date());
    const answer = isSpent ? await this.tokens.refresh() : accessTokensOf(facts, seedId);
    await rpc.call('account/login/start', { type: 'chatgptAuthTokens', ...answer }, { timeoutMs: LOGIN_MS });
  }

  answer(rpc: Rpc, { id, method, params }: AccountRequest, fail: (error: TaskError) => void): boolean {
    if (readRequest(method, params)?.method !== 'account/chatgptAuthTokens/refresh') return false;
    const askedAt = performance.now();
    const isLate = () => performance.now() - askedAt > ANSWER_MS;
    this.tokens.refresh().then(
      // Drops a late answer: Codex has asked again by then.
      (answer) => isLate() || quietly(() => rpc.respond(id, answer)),
      (error: unknown) => {
        this.log.error({ reason: reasonOf(error) }, 'credential.refused');
        if (error instanceof TaskError && LOST.has(error.code)) fail(error);
        if (!isLate()) quietly(() => rpc.respondError(id, UNAUTHORIZED, reasonOf(error)));
      },
    );
    return true;
  }

  async settled(): Promise<void> {
    const { underWay } = this.tokens;
    if (!underWay) return;
    const isOver = underWay.then(
      () => true,
      () => true,
    );
    if (!(await within(SETTLE_MS, isOver))) this.log.error('credential.refresh.unfinished');
  }
}

/** Ignores a closed connection: Codex asks again on the next one. */
function quietly(send: () => void): void {
  try {
    send();
  } catch {
    // Logged above.
  }
}

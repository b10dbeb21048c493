import { randomBytes } from 'node:crypto';
import { access, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { readAuthFacts } from '../codex/auth-json.js';
import { tokenUrlOf, whyTokensUnreachable } from '../codex/oauth.js';
import { versioned } from '../formats.js';
import { reasonOf, TaskError } from '../errors.js';
import type { HostContext } from '../session/model/host-context.js';
import { removeFolder } from '../task-folder/remove-folder.js';
import { taskFolder } from '../task-folder/task-folder.js';
import { releaseLease, type Lease } from '../store/leases.js';
import { credentialIn } from '../store/auth-shape.js';
import { leaseForVerification, recordFinding, type SeedFinding } from '../store/seed-verification.js';
import { readSeed } from '../store/seeds.js';
import type { SeedVerdict } from '../contract/verification.js';
import { examineAccount, type Examination } from './examine-account.js';
import { keepSeed, type KeptSeed } from './keep-seed.js';
import { makeHome } from './private-codex.js';

/** How long saving a rotated token is tried once nobody waits for the verdict. Milliseconds. */
const LAST_TRIES_MS = 10_000;
const RETRY_MS = 1_000;
const REACH_MS = 10_000;

/**
 * Finds out whether a seed still works, with codex itself in a home of its own, under a lease like a task's: the guard
 * stops that codex when the lease is not renewed, and what a crash leaves is cleaned up by the worker's next start as a
 * task's folder is. A rotated token is in the database before a verdict is. The finding is written into the seed.
 * @throws TaskError `NotFound` for an unknown seed, `Unavailable` when the database was away at the end: the folder
 * with the token stays then; the signal's reason when aborted
 */
export async function verifySeed(
  host: HostContext,
  seedId: string,
  signal: AbortSignal,
): Promise<SeedVerdict> {
  // A unique name: it stands for a task's id, and a holder that returned under the same name would get its lease.
  const id = `verify-${seedId}-${randomBytes(4).toString('hex')}`;
  const acquired = await leaseForVerification(host.store, seedId, id, host.leaseTtlMs);
  if (acquired.kind === 'unknown') throw new TaskError('NotFound', `Seed ${seedId} is unknown`);
  if (acquired.kind === 'in-use')
    return { seedId, verdict: 'inconclusive', reason: `in use by ${acquired.holder}`, rotated: false };
  if (acquired.kind === 'held')
    return { seedId, verdict: 'inconclusive', reason: `out of use: ${acquired.reason}`, rotated: false };
  const { lease } = acquired;
  const folder = taskFolder(host.config.dataDir, id);
  let found: Examination | null = null;
  // Sweeps leave alone what this process works in.
  const letGo = host.tasks.holdFolder(folder.name);
  try {
    found = await examine(host, lease, signal);
  } finally {
    letGo();
    // A token that could not be saved keeps its folder and its lease: the next look of the worker saves it by them.
    if (found === null && !(await exists(folder.root))) await releaseLease(host.store, lease);
  }
  const isWritten = await recordFinding(host.store, lease, found);
  await releaseLease(host.store, lease);
  const { verdict, reason, account, rotated } = isWritten ? found : { ...found, ...LOST };
  host.log.info({ seedId, verdict, reason, rotated }, 'seed.verified');
  return { seedId, verdict, reason, rotated, ...(account && { account: account.summary }) };
}

const LOST = { verdict: 'inconclusive', reason: 'its lease was lost meanwhile' } as const;

/** What its content says, and if that is not enough, its account. */
async function examine(host: HostContext, lease: Lease, signal: AbortSignal): Promise<Examination> {
  const known = await judgeByContent(host, lease.seedId);
  if ('verdict' in known) return known;
  const { authJson, configToml } = known;
  const folder = taskFolder(host.config.dataDir, lease.holder);
  const ref = { taskId: lease.holder, runId: lease.holder, assignmentId: lease.holder };
  let kept: KeptSeed;
  try {
    await makeHome(folder, authJson);
    // As a task's: by it a start finds what a crash leaves.
    await writeFile(folder.taskJson, JSON.stringify(versioned('task', { ref, lease })), { mode: 0o600 });
    kept = keepSeed(host, folder, lease, authJson);
  } catch (error) {
    await removeFolder(folder.root).catch(() => undefined);
    if (await exists(folder.root)) throw error;
    // Nothing was asked yet: a start that a full disk prevented says nothing about the account.
    return inconclusive(reasonOf(error));
  }
  const stopping = AbortSignal.any([signal, kept.lost]);
  try {
    return await examineAccount(host, { kept, ref, authJson, configToml, signal: stopping });
  } catch (error) {
    if (!kept.lost.aborted) signal.throwIfAborted();
    return inconclusive(reasonOf(kept.lost.aborted ? kept.lost.reason : error));
  } finally {
    await saveLast(host, kept, signal);
    await kept.close();
    await removeFolder(folder.root);
  }
}

type Seed = { authJson: Buffer; configToml: string | null };

/** What a seed's content says without asking anybody; the seed itself when it has to be asked for. */
async function judgeByContent(host: HostContext, seedId: string): Promise<Examination | Seed> {
  let seed: Awaited<ReturnType<typeof readSeed>>;
  try {
    seed = await readSeed(host.store, seedId);
  } catch (error) {
    if (!(error instanceof TaskError) || error.code === 'Unavailable') throw error;
    // A wrong key or a damaged blob is not the account's end.
    return inconclusive(error.message);
  }
  const authJson = seed?.authJson;
  const kind = authJson ? credentialIn(authJson) : null;
  const facts = authJson && kind ? readAuthFacts(authJson) : null;
  if (!authJson || !facts) return finding('dead', 'it holds no auth.json with a login');
  if (kind !== 'tokens')
    return finding('alive', `${kind === 'OPENAI_API_KEY' ? 'an API key' : kind}: nothing to refresh`);
  if (facts.refreshToken === null) return finding('dead', 'its auth.json has no refresh token');
  const away = hasProxy(host.env) ? null : await whyTokensUnreachable(tokenUrlOf(host.env), REACH_MS);
  if (away !== null) return inconclusive(away);
  return { authJson, configToml: seed?.configToml?.toString('utf8') ?? null };
}

/** Codex goes through the proxy, the worker's own requests do not. */
const hasProxy = (env: NodeJS.ProcessEnv) =>
  ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy'].some((name) => Boolean(env[name]));

const finding = (verdict: SeedFinding['verdict'], reason: string): Examination => ({
  verdict,
  reason,
  account: null,
  limitedUntil: null,
  rotated: false,
});
const inconclusive = (reason: string) => finding('inconclusive', reason);

/** The last save, when codex is gone. While the database is away it waits; once aborted, not for long. */
async function saveLast(host: HostContext, kept: KeptSeed, signal: AbortSignal): Promise<void> {
  let givesUpAt = Infinity;
  for (;;) {
    try {
      return await kept.save();
    } catch (error) {
      if (isLoss(error)) return;
      const { seedId } = kept.lease;
      host.log.error({ seedId, reason: reasonOf(error) }, 'credential.save.retry');
      if (signal.aborted && givesUpAt === Infinity) givesUpAt = performance.now() + LAST_TRIES_MS;
      if (performance.now() > givesUpAt) {
        await kept.close();
        const what = `Seed ${seedId}: its new token could not be saved (${reasonOf(error)})`;
        throw new TaskError('Unavailable', what, { cause: error });
      }
    }
    await delay(RETRY_MS);
  }
}

/** Then it is in quarantine. */
const isLoss = (error: unknown) => error instanceof TaskError && error.code === 'LeaseLost';

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

import { setTimeout as delay } from 'node:timers/promises';
import { onAbort } from '../async/abort.js';
import { isStale, readAuthFacts, withTokens, type AuthFacts } from '../codex/auth-json.js';
import { lastLines } from '../codex/codex-log.js';
import { refreshTokens, tokenUrlOf } from '../codex/oauth.js';
import type { GetAccountRateLimitsResponse } from '../codex/protocol.js';
import type { Rpc } from '../codex/rpc.js';
import { RpcError } from '../codex/rpc-errors.js';
import { heldOutUntil, limitNow, tellsUsage } from '../codex/usage-limit.js';
import { reasonOf, TaskError } from '../errors.js';
import type { HostContext } from '../session/model/host-context.js';
import { readAuth } from '../session/account/read-auth.js';
import { renewTaskLease } from '../session/account/renew-task-lease.js';
import { fingerprint } from '../store/seed-archive.js';
import type { TaskRef } from '../contract/activities.js';
import type { SeedFinding } from '../store/seed-verification.js';
import { accountInfo, type AccountInfo } from '../codex/account-info.js';
import type { KeptSeed } from './keep-seed.js';
import { launchPrivateCodex } from './private-codex.js';

export interface Examination extends SeedFinding {
  account: AccountInfo | null;
  rotated: boolean;
}

export interface ExamineOptions {
  readonly kept: KeptSeed;
  readonly ref: TaskRef;
  /** As planted in its home. */
  readonly authJson: Buffer;
  readonly configToml: string | null;
  readonly signal: AbortSignal;
}

/** Codex tries a refresh up to six times, and its backend may be slow. */
const ACCOUNT_MS = 60_000;
const LIMITS_MS = 20_000;
/** Once aborted, a refresh in flight gets this long: without its answer the account may be lost. */
const BARRIER_MS = 10_000;
const REFRESH_MS = 30_000;
const RETRY_MS = 1_000;
const LOG_LINES = 20;

/**
 * Asks codex about the account of a kept seed: a stale login is refreshed, a fresh one only when the backend
 * refuses its access token. What it rotates is in the database before the next question. Codex is gone at the end.
 * @throws TaskError `LeaseLost` when the lease ended meanwhile; what `launchPrivateCodex` throws
 */
export async function examineAccount(host: HostContext, options: ExamineOptions): Promise<Examination> {
  const { kept, ref, authJson, configToml, signal } = options;
  const { folder } = kept;
  const savedSha256 = fingerprint(authJson);
  host.guard();
  const codex = await launchPrivateCodex({
    codex: host.codex,
    env: host.env,
    dataDir: host.config.dataDir,
    folder,
    configToml,
    signal,
    record: (identity) => ({
      ...identity,
      socket: folder.socket,
      codexVersion: host.codex.version,
      ...ref,
      launchedAt: new Date().toISOString(),
      hostId: host.hostId,
      ...kept.lease,
      ...(savedSha256 !== null && { savedSha256 }),
    }),
  });
  let answers: Answers;
  // A lease that ended meanwhile does not cover this codex.
  host.guard();
  try {
    answers = await ask(codex.rpc, options, () => save(host, options));
  } finally {
    await codex.stop();
  }
  await save(host, options);
  if (answers.account === 'none') return confirmLoss(host, options);
  return conclude(options, answers, await factsNow(options));
}

interface Answers {
  /** `none`: codex gave the login up for good. */
  account: 'known' | 'none';
  /** A refresh was asked for. */
  forced: boolean;
  limits: GetAccountRateLimitsResponse | null;
  /** All tokens the account ever used; null: unknown. */
  tokens: number | null;
}

async function ask(rpc: Rpc, options: ExamineOptions, saveNow: () => Promise<void>): Promise<Answers> {
  const stale = isStale(factsOf(options.authJson), new Date());
  const first = await readAccount(rpc, stale, options.signal);
  await saveNow();
  if (first === 'none') return { account: first, forced: stale, limits: null, tokens: null };
  const limits = await readLimits(rpc);
  if (limits !== 'refused' || stale) return answered(rpc, first, stale, limits);
  // A token that its issuer says is good and its backend refuses: only a refresh can tell.
  const second = await readAccount(rpc, true, options.signal);
  await saveNow();
  const again = second === 'none' ? null : await readLimits(rpc);
  return answered(rpc, second, true, again);
}

async function answered(
  rpc: Rpc,
  account: Answers['account'],
  forced: boolean,
  said: GetAccountRateLimitsResponse | null | 'refused',
): Promise<Answers> {
  const limits = said === 'refused' ? null : said;
  return { account, forced, limits, tokens: limits && (await readTokens(rpc)) };
}

/** All tokens the account ever used; null: unknown. */
async function readTokens(rpc: Rpc): Promise<number | null> {
  try {
    const { summary } = await rpc.call('account/usage/read', {}, { timeoutMs: LIMITS_MS });
    const { lifetimeTokens } = summary;
    return typeof lifetimeTokens === 'number' ? lifetimeTokens : null;
  } catch {
    return null;
  }
}

/**
 * Codex answers `account: null` exactly when it gave a login up; what may pass (429, 403, 5xx, no network,
 * a 400 it does not know) leaves the account as it is, and a backend out of reach is an error.
 */
async function readAccount(
  rpc: Rpc,
  refreshToken: boolean,
  signal: AbortSignal,
): Promise<Answers['account']> {
  const gaveUp = new AbortController();
  signal.throwIfAborted();
  const release = onAbort(signal, () => {
    void delay(BARRIER_MS, undefined, { ref: false }).then(() => gaveUp.abort(signal.reason));
  });
  try {
    const { account, requiresOpenaiAuth } = await rpc.call(
      'account/read',
      { refreshToken },
      { timeoutMs: ACCOUNT_MS, signal: gaveUp.signal },
    );
    return requiresOpenaiAuth && (account ?? null) === null ? 'none' : 'known';
  } catch (error) {
    if (error instanceof RpcError) return 'known';
    throw error;
  } finally {
    release();
  }
}

/** How much of the account is used; null: unknown. `refused`: its access token is not accepted. */
async function readLimits(rpc: Rpc): Promise<GetAccountRateLimitsResponse | null | 'refused'> {
  try {
    return await rpc.call('account/rateLimits/read', {}, { timeoutMs: LIMITS_MS });
  } catch (error) {
    // "failed to fetch codex rate limits: GET … failed: 401 Unauthorized; …"
    return error instanceof RpcError && / failed: 401 /.test(error.message) ? 'refused' : null;
  }
}

/** Saves what codex rotated, however long the database takes, unless the lease ends before. */
async function save(host: HostContext, { kept, signal }: ExamineOptions): Promise<void> {
  for (;;) {
    try {
      return await kept.save();
    } catch (error) {
      kept.lost.throwIfAborted();
      host.log.warn({ seedId: kept.lease.seedId, reason: reasonOf(error) }, 'credential.save.retry');
    }
    await delay(RETRY_MS, undefined, { signal });
  }
}

/**
 * Codex does not say why it gave a login up, and a seed must not die of one odd answer: its refresh token is tried
 * once more. Should it work, that was its rotation, and goes the way of every other.
 */
async function confirmLoss(host: HostContext, options: ExamineOptions): Promise<Examination> {
  const { folder } = options.kept;
  const bytes = (await readAuth(folder)) ?? options.authJson;
  let after = bytes;
  const { refreshToken } = factsOf(bytes);
  // Spends no token that could not be saved: after a standstill the seed may be another's.
  const answer = await renewTaskLease(host, folder.taskId, options.kept.lease);
  if (answer === 'taken') throw new TaskError('LeaseLost', 'Its lease went to another');
  if (answer === 'unknown')
    throw new TaskError('Unavailable', 'The database does not tell who holds its lease');
  const tried = await refreshTokens(tokenUrlOf(host.env), refreshToken ?? '', REFRESH_MS);
  if (tried.kind === 'refreshed') {
    after = withTokens(bytes, tried.tokens);
    await options.kept.take(after);
    await save(host, options);
  }
  const facts = factsOf(after);
  const found = { account: accountInfo(facts, null), limitedUntil: null, hasRoom: false };
  switch (tried.kind) {
    case 'refreshed':
      return { ...found, verdict: 'alive', reason: 'refreshed', rotated: true };
    case 'lost':
      return { ...found, verdict: 'dead', reason: tried.reason, rotated: false };
    case 'failed':
      return { ...found, verdict: 'inconclusive', reason: tried.reason, rotated: false };
  }
}

async function conclude(
  options: ExamineOptions,
  { forced, limits, tokens }: Answers,
  facts: AuthFacts,
): Promise<Examination> {
  const before = factsOf(options.authJson);
  const rotated = facts.refreshToken !== before.refreshToken || facts.accessToken !== before.accessToken;
  const nowMs = Date.now();
  const limit = limits && limitNow(limits, nowMs);
  const found = {
    account: accountInfo(facts, limits?.rateLimits ?? null, tokens),
    limitedUntil: limit && new Date(heldOutUntil(limit, 1, nowMs)),
    hasRoom: limits !== null && limit === null && tellsUsage(limits),
    rotated,
  };
  if (rotated) return { ...found, verdict: 'alive', reason: 'refreshed' };
  if (!forced) return { ...found, verdict: 'alive', reason: 'fresh: nothing refreshed' };
  return { ...found, verdict: 'inconclusive', reason: await whyNotRefreshed(options) };
}

/** Codex tells a refusal that may pass in its log only. */
async function whyNotRefreshed({ kept }: ExamineOptions): Promise<string> {
  const lines = await lastLines(kept.folder.codexLog, LOG_LINES);
  const status = /Failed to refresh token status=(\d{3})/.exec(lines)?.[1];
  return status === undefined
    ? 'the refresh got no answer'
    : `the refresh was refused with HTTP ${status}, which may be temporary`;
}

const factsOf = (bytes: Buffer): AuthFacts => readAuthFacts(bytes) ?? NOTHING;
const factsNow = async ({ kept, authJson }: ExamineOptions): Promise<AuthFacts> =>
  factsOf((await readAuth(kept.folder)) ?? authJson);

const NOTHING = readAuthFacts(Buffer.from('{}'))!;

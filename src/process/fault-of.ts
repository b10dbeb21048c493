import { NewerFormat } from '../formats.js';

/**
 * What an error that is no TaskError says about trying again. `outage`: a server is out of reach, and the step succeeds
 * once it is back. `lasting`: what must be there is not, on this host. `ours`: a mistake in the code, the same
 * everywhere. `unknown`: it may pass.
 */
export type FaultKind = 'outage' | 'lasting' | 'ours' | 'unknown';

/** Of the driver: the server, or the way to it, is away or about to be replaced. */
const OUTAGES = new Set([
  'MongoNetworkError',
  'MongoNetworkTimeoutError',
  'MongoOperationTimeoutError',
  'MongoServerSelectionError',
  'MongoNotConnectedError',
  'MongoServerClosedError',
  'MongoTopologyClosedError',
  'MongoPoolClosedError',
  'MongoPoolClearedError',
  'PoolClosedError',
  'PoolClearedError',
  'PoolClearedOnNetworkError',
  'MongoWaitQueueTimeoutError',
  'WaitQueueTimeoutError',
  'MongoStalePrimaryError',
]);
/** Of a server that answers: no primary now, shutting down, or stepping down. */
const AWAY_CODES = new Set<unknown>([6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436]);
const AWAY_SYSTEM = new Set<unknown>([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
]);
/** Names that lead nowhere: time does not change them. */
const LASTING = new Set<unknown>(['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENAMETOOLONG', 'EINVAL', 'EXDEV']);
const MISTAKES = [TypeError, RangeError, ReferenceError, SyntaxError, EvalError, URIError];

export function faultOf(error: unknown): FaultKind {
  if (error instanceof NewerFormat) return 'lasting';
  if (isOutage(error)) return 'outage';
  if (!(error instanceof Error)) return 'unknown';
  const { code } = error as { code?: unknown };
  if (LASTING.has(code)) return 'lasting';
  // Node's own of a call with a wrong argument, `fetch failed` without a cause that says more, and the like.
  return MISTAKES.some((mistake) => error instanceof mistake) || error.name === 'AssertionError'
    ? 'ours'
    : 'unknown';
}

/** Also one that another error wraps. */
function isOutage(error: unknown): boolean {
  for (let each = error, depth = 0; each instanceof Error && depth < 5; each = each.cause, depth++) {
    const { code, name } = each as { code?: unknown; name: string };
    if (OUTAGES.has(name) || AWAY_SYSTEM.has(code)) return true;
    if (name.startsWith('Mongo') && AWAY_CODES.has(code)) return true;
  }
  return false;
}

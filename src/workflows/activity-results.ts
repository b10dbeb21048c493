import * as v from 'valibot';
import type {
  ClaimActivities,
  HostActivities,
  SharedActivities,
  VerifyActivities,
} from '../activities/index.js';
import * as is from '../input/checks.js';
import type { Outcome } from '../contract/index.js';
import { report } from '../input/host-words.js';
import { parse } from '../input/parse.js';
import { isoTime, nullable, number, optional, shape, total, variant, type Schema } from '../input/shapes.js';
import type {
  SnapshotTaken,
  Acquired,
  BusyLimit,
  Claimed,
  CredentialState,
  HostSight,
  Launched,
  LeaseRef,
  MetLimit,
  SessionEnd,
  SessionStopped,
  TaskRef,
} from '../contract/activities.js';
import type { SeedVerdict } from '../contract/verification.js';
import { mustRead } from './readable.js';
import { failure } from './failures.js';

type Steps = SharedActivities & ClaimActivities & HostActivities & VerifyActivities;
export type ActivityName = keyof Steps;
type Answer<N extends ActivityName> = Awaited<ReturnType<Steps[N]>>;

/**
 * Validates the result of an activity and keeps the known members.
 * @throws ApplicationFailure `HostUnfit`: a worker of another version, or another program on its queue, answered
 */
export function activityResult<N extends ActivityName>(name: N, answer: unknown): Answer<N> {
  const schema: Schema<unknown> | null = ANSWERS[name];
  if (schema === null) return undefined as never;
  const read = mustRead(answer);
  if ((read === undefined || read === null) && ONCE_SILENT.has(name)) return undefined as never;
  try {
    return parse<Answer<N>>(name, schema, read, KEEP_NULLS);
  } catch (error) {
    throw failure(
      'HostUnfit',
      `Activity ${name} returned no result of this version: ${(error as Error).message}`,
    );
  }
}

const KEEP_NULLS = [''];

/** Activities to which a host of an earlier version returns nothing. */
const ONCE_SILENT: ReadonlySet<ActivityName> = new Set(['endSession']);

const lease = shape<LeaseRef>({ seedId: is.text, holder: is.text, leaseEpoch: total });
type OfKind<T, K> = Extract<T, { kind: K }>;
const searchAttributes = v.union([is.boolean, is.list(is.text)], 'true, false or a list of names');
const withoutSeed = { kind: is.anyString, searchAttributes };

const busyLimit = shape<BusyLimit>({ until: isoTime, isAll: is.boolean });

type End = SessionEnd['end'];
const ended = shape<OfKind<End, Outcome>>({ kind: is.anyString });
const sessionEnd = shape<SessionEnd>({
  end: variant<End>('kind', {
    completed: ended,
    interrupted: ended,
    closed: ended,
    failed: shape<OfKind<End, 'failed'>>({
      kind: is.anyString,
      code: is.text,
      message: is.anyString,
      details: optional(is.object),
    }),
    limited: shape<OfKind<End, 'limited'>>({
      kind: is.anyString,
      turnId: is.anyString,
      resetsAt: isoTime,
      limit: optional(shape<MetLimit>({ kind: is.anyString, limitId: nullable(is.anyString), times: total })),
    }),
  } satisfies Record<End['kind'], Schema<End>>),
  report,
  finalMessage: nullable(is.anyString),
  finalMessageTruncated: is.boolean,
  output: optional(is.anything),
  outputOmitted: optional(is.boolean),
});

const verdict = shape<SeedVerdict>({
  seedId: is.text,
  verdict: is.oneOf('alive', 'dead', 'inconclusive'),
  reason: is.anyString,
  rotated: is.boolean,
  account: optional(is.anyString),
});

const sight = shape<HostSight>({ isAlive: is.boolean, expiresAtMs: total, endsInMs: number });

/** The result of every activity; null: it is not used. */
const ANSWERS: { readonly [N in ActivityName]: Answer<N> extends void ? null : Schema<Answer<N>> } = {
  acquireLease: variant<Acquired>('kind', {
    leased: shape<OfKind<Acquired, 'leased'>>({ ...withoutSeed, lease }),
    held: shape<OfKind<Acquired, 'held'>>({
      ...withoutSeed,
      by: shape<TaskRef>({ taskId: is.text, runId: is.text, assignmentId: is.text }),
      hostId: is.name,
      generation: total,
      lease: nullable(lease),
      ttlMs: optional(is.milliseconds),
    }),
    busy: shape<OfKind<Acquired, 'busy'>>({ ...withoutSeed, limit: optional(nullable(busyLimit)) }),
    'no-seed': shape<OfKind<Acquired, 'no-seed'>>(withoutSeed),
  } satisfies Record<Acquired['kind'], Schema<Acquired>>),
  releaseLease: null,
  fenceHost: is.oneOf('fenced', 'held'),
  awaitHost: v.union([is.oneOf('over', 'renewed'), sight], "'over', 'renewed' or a sight of the host"),
  evictTask: is.oneOf('over', 'left', 'asked'),
  keepText: shape<{ blobId: string }>({ blobId: is.blobId }),
  readText: shape<{ text: string }>({ text: is.anyString }),
  dropTexts: null,
  claimHost: shape<Claimed>({ hostId: is.name, ttlMs: optional(is.milliseconds) }),
  prepareWorkdir: null,
  launchAppServer: shape<Launched>({
    threadId: is.text,
    model: nullable(is.anyString),
    controls: is.list(is.object),
    warnings: is.list(is.anyString),
    isBusy: optional(is.boolean),
  }),
  openListener: shape<{ url: string }>({ url: is.text }),
  followSession: sessionEnd,
  deliver: report,
  yieldAssignment: null,
  parkTask: null,
  unparkTask: null,
  endSession: v.optional(shape<SessionStopped>({ warnings: is.list(is.anyString) })),
  saveCredential: shape<CredentialState>({
    warnings: is.list(is.anyString),
    quarantineId: nullable(is.anyString),
    lease: optional(lease),
  }),
  captureSeed: shape<Awaited<ReturnType<HostActivities['captureSeed']>>>({
    seedId: nullable(is.text),
    skipped: nullable(is.anyString),
  }),
  takeSnapshot: shape<SnapshotTaken>({ snapshotId: is.text, warnings: optional(is.list(is.anyString)) }),
  closeTask: null,
  checkSeed: verdict,
  listSeedsToVerify: shape<Awaited<ReturnType<VerifyActivities['listSeedsToVerify']>>>({
    seedIds: is.list(is.text),
    skipped: shape<{ fresh: number; dead: number; inUse: number }>({
      fresh: total,
      dead: total,
      inUse: total,
    }),
    left: total,
  }),
};

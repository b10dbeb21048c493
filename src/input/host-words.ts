import * as v from 'valibot';
import type {
  ClaimRefused,
  Deliverable,
  HookRequest,
  HostRestarted,
  PermissionRecord,
  PermissionRequest,
  PermissionSettled,
  Progress,
  SessionReport,
  TokenUsage,
} from '../contract/index.js';
import * as is from './checks.js';
import { parse } from './parse.js';
import { isoTime, nullable, number, optional, shape, total, variant, type Schema } from './shapes.js';

/**
 * Checks of what a host sends to a task's workflow: anybody who may write to the namespace can send it, and so can a
 * host of another version.
 */

/** A request of codex; its kind may be one that only a newer host knows. @throws TaskError `BadInput` */
export const parseRequest = (value: unknown): PermissionRequest =>
  parse('request', request, value, KEEP_NULLS);

/** @throws TaskError `BadInput` */
export const parseSettled = (value: unknown): PermissionSettled =>
  parse('settled', settled, value, KEEP_NULLS);

/** @throws TaskError `BadInput` */
export const parseRecords = (value: unknown): PermissionRecord[] =>
  parse('records', is.list(record, 'an array of records'), value, KEEP_NULLS);

/** The host that says something of itself. @throws TaskError `BadInput` */
export const parseHost = (value: unknown): { hostId: string } => parse('host', host, value, KEEP_NULLS);

/** The same of one that speaks another version of the steps. @throws TaskError `BadInput` */
export const parseClaimRefused = (value: unknown): ClaimRefused =>
  parse('host', claimRefused, value, KEEP_NULLS);

/** The same of one that took its task up again. @throws TaskError `BadInput` */
export const parseRestart = (value: unknown): HostRestarted => parse('host', restart, value, KEEP_NULLS);

/** @throws TaskError `BadInput` */
export const parseReport = (value: unknown): SessionReport => parse('report', report, value, KEEP_NULLS);

/** @throws TaskError `BadInput` */
export const parseHookRequest = (value: unknown): HookRequest =>
  parse('hookRequest', hookRequest, value, KEEP_NULLS);

/** Null is a value of its own in what hosts say; where a member is optional it means absent there too. */
const KEEP_NULLS = [''];

const host = shape<{ hostId: string }>({ hostId: is.name });
const claimRefused = shape<ClaimRefused>({ hostId: is.name, protocol: total });
const restart = shape<HostRestarted>({
  hostId: is.name,
  lease: optional(
    shape<NonNullable<HostRestarted['lease']>>({ seedId: is.text, holder: is.text, leaseEpoch: total }),
  ),
});

const request = shape<PermissionRequest>({
  requestId: is.name,
  kind: is.name,
  summary: is.anyString,
  input: is.object,
  truncated: optional(is.boolean),
  openedAt: isoTime,
  expiresAt: optional(isoTime),
});

const settled = shape<PermissionSettled>({ requestId: is.name, reason: is.anyString });

const record = shape<PermissionRecord>({
  requestId: is.name,
  kind: is.name,
  summary: is.anyString,
  behavior: is.oneOf('allow', 'deny'),
  decidedBy: is.anyString,
});

const usage = shape<TokenUsage>({
  totalTokens: number,
  inputTokens: number,
  cachedInputTokens: number,
  cacheWriteInputTokens: number,
  outputTokens: number,
  reasoningOutputTokens: number,
});

const progress = shape<Progress>({ percent: nullable(number), text: is.anyString });

/** Of what codex's session is just now. */
export const report = shape<SessionReport>({
  assignmentId: optional(is.name),
  revision: total,
  leaseEpoch: optional(total),
  activity: is.oneOf('idle', 'running', 'recovering'),
  threadId: nullable(is.anyString),
  model: nullable(is.anyString),
  turns: total,
  usage,
  lastError: optional(is.anyString),
  warning: optional(is.anyString),
  controls: optional(is.list(is.object)),
  warnings: optional(is.list(is.anyString)),
  // Null says that there is none any more; a host that says nothing changes nothing.
  quarantineId: v.optional(v.nullable(is.anyString)),
  progress: optional(progress),
});

const deliverable = {
  path: is.text,
  bytes: total,
  sha256: is.text,
  contentType: is.anyString,
} satisfies is.Members<Deliverable>;

type OfKind<K extends HookRequest['kind']> = Extract<HookRequest, { kind: K }>;

const hookRequest = variant<HookRequest>('kind', {
  deliverable: shape<OfKind<'deliverable'>>({
    id: is.name,
    kind: is.anyString,
    deliverable: shape<Deliverable & { blobId: string }>({ ...deliverable, blobId: is.name }),
  }),
  callerMessage: shape<OfKind<'callerMessage'>>({
    id: is.name,
    kind: is.anyString,
    keyword: is.anyString,
    message: is.anything,
  }),
  upload: shape<OfKind<'upload'>>({ id: is.name, kind: is.anyString, path: is.text, bytes: total }),
} satisfies Record<HookRequest['kind'], Schema<HookRequest>>);

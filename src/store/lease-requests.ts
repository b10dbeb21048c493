import { createHash } from 'node:crypto';
import type { Filter } from 'mongodb';
import { TaskError } from '../errors.js';
import { seedsOf, type LeaseRequest, type SeedDocument } from './collections.js';
import type { Store } from './mongo.js';

/** A request as a seed keeps it: it outlives the task and must not name it. */
export const keptRequest = (
  holder: string,
  { step, at }: LeaseRequest,
): NonNullable<SeedDocument['leaseRequest']> => ({
  holder: digest(holder),
  step: digest(step),
  at,
});

/** Whether this step of a task took the seed last. */
export const isOfStep = (seed: SeedDocument, { step }: LeaseRequest): boolean =>
  seed.leaseRequest?.step === digest(step);

const digest = (text: string): string => createHash('sha256').update(text).digest('base64url').slice(0, 22);

/** Matches a seed that no later attempt of this holder has taken; without a request every seed. */
export function notAfter(request: LeaseRequest | undefined, holder: string): Filter<SeedDocument> {
  if (!request) return {};
  const later = { $gt: request.at };
  return {
    $or: [{ 'leaseRequest.holder': { $ne: digest(holder) } }, { 'leaseRequest.at': { $not: later } }],
  };
}

/**
 * The seeds that attempts of this holder took last, whether they are leased still or not.
 * @throws TaskError `Unavailable` when a later attempt than `request` is among them: whoever waits has its answer
 */
export async function takenBefore(
  store: Store,
  holder: string,
  { at }: LeaseRequest,
): Promise<SeedDocument[]> {
  const taken = await seedsOf(store)
    .find({ 'leaseRequest.holder': digest(holder) })
    .toArray();
  if (!taken.some(({ leaseRequest }) => leaseRequest && leaseRequest.at > at)) return taken;
  throw new TaskError('Unavailable', `Superseded by a later attempt of ${holder}`);
}

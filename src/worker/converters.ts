import type { DataConverter } from '@temporalio/common';
import { workerConverter } from '../codec/data-converter.js';
import type { KeyList } from '../codec/key-list.js';
import { PAYLOAD_KEY } from '../codec/payload-keys.js';
import { TaskError } from '../errors.js';

/** The one converter of a caller's payloads and ours; the caller's own where there is one. */
export interface Converters {
  /** Of a worker with workflows. @throws TaskError `BadInput` for one of the caller's beside a payload key */
  inside(theirs?: DataConverter): DataConverter;
  /** Of a client, and of a worker that has activities only. @throws TaskError as `inside` */
  outside(theirs?: DataConverter): DataConverter;
}

/** @param given by the settings of the plugin; what Worker or Client have comes first */
export function convertersOf(keys: KeyList, given: DataConverter | undefined): Converters {
  // What cannot be read is refused by our workflows themselves, who can say so.
  const ours = { inside: workerConverter(keys, 'pass'), outside: workerConverter(keys, 'refuse') };
  const codecs = [ours.inside.payloadCodecs, ours.outside.payloadCodecs];
  const choose = (mine: DataConverter, theirs = given): DataConverter => {
    // One plugin may come twice: by a worker or client, and by its connection. A converter that was loaded is a copy.
    if (theirs === undefined || codecs.includes(theirs.payloadCodecs)) return mine;
    if (keys.reads.length > 0)
      throw new TaskError(
        'BadInput',
        `Payloads are encoded by ${PAYLOAD_KEY} or by a data converter of your own, not by both`,
      );
    return theirs;
  };
  return {
    inside: (theirs) => choose(ours.inside, theirs),
    outside: (theirs) => choose(ours.outside, theirs),
  };
}

import { Client } from '@temporalio/client';
import type { PayloadCodec } from '@temporalio/common';
import { payloadConverter } from '../codec/payload-converter.js';

/**
 * The same client for looking at workflows. Whoever starts one may give it a memo that this client cannot read: that would
 * fail each look at the workflow, and each list that it is in.
 */
export function lookingClient({ connection, options }: Client): Client {
  const { namespace, identity, interceptors, loadedDataConverter } = options;
  const dataConverter = {
    ...loadedDataConverter,
    payloadConverter,
    payloadCodecs: loadedDataConverter.payloadCodecs.map(lenient),
  };
  return new Client({ connection, namespace, identity, interceptors, dataConverter });
}

const lenient = (codec: PayloadCodec): PayloadCodec => ({
  encode: (payloads, context) => codec.encode(payloads, context),
  decode: (payloads, context) => codec.decode(payloads, context).catch(() => payloads),
});

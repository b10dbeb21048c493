// A caller's own codec: every payload is turned around, its encoding included.
const TURNED = 'binary/turned';
const text = (bytes) => Buffer.from(bytes ?? []).toString();
const turned = (bytes) => Uint8Array.from(bytes ?? []).reverse();

export const turningCodec = {
  encode: async (payloads) =>
    payloads.map(({ metadata, data }) => ({
      metadata: { encoding: Buffer.from(TURNED), was: metadata?.encoding ?? Buffer.from('') },
      data: turned(data),
    })),
  decode: async (payloads) =>
    payloads.map((payload) =>
      text(payload.metadata?.encoding) === TURNED
        ? { metadata: { encoding: payload.metadata.was }, data: turned(payload.data) }
        : payload,
    ),
};

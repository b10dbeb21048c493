import Router from '@koa/router';
import type { Payload, PayloadCodec } from '@temporalio/common';
import { payloadCodec } from '../codec/payload-codec.js';
import type { Context } from 'koa';
import type { KeyList } from '../codec/key-list.js';
import { Refusal } from './answer.js';
import { isObject, objectIn, readBody } from './json-body.js';

/**
 * A codec server for the Temporal UI and CLI, in Temporal's format: the JSON of `temporal.api.common.v1.Payloads`. What the
 * keys do not open comes back as it is. Who comes here is an operator.
 */
export function codecRoutes(keys: KeyList): Router {
  const router = new Router({ prefix: '/codec' });
  const body = readBody();
  const codec = payloadCodec(keys, 'pass');
  router.post('/encode', body, (ctx) => answer(ctx, (payloads) => codec.encode(payloads)));
  router.post('/decode', body, (ctx) => answer(ctx, (payloads) => codec.decode(payloads)));
  return router;
}

async function answer(ctx: Context, run: PayloadCodec['encode']): Promise<void> {
  const given = objectIn(ctx)['payloads'] ?? [];
  if (!Array.isArray(given)) throw new Refusal(400, 'bad-payloads');
  ctx.set('Cache-Control', 'no-store');
  ctx.body = { payloads: (await run(given.map(fromJson))).map(toJson) };
}

const BASE64 = /^[\w+/-]*={0,2}$/;

function bytesIn(value: unknown): Uint8Array {
  if (typeof value === 'string' && BASE64.test(value)) return Buffer.from(value, 'base64');
  throw new Refusal(400, 'bad-payloads');
}

/** @throws Refusal 400 `bad-payloads` */
function fromJson(value: unknown): Payload {
  if (!isObject(value)) throw new Refusal(400, 'bad-payloads');
  const { metadata, data } = value;
  if (!isObject(metadata ?? {})) throw new Refusal(400, 'bad-payloads');
  const entries = Object.entries(metadata ?? {}).map(([name, each]) => [name, bytesIn(each)]);
  return {
    metadata: Object.fromEntries(entries) as Record<string, Uint8Array>,
    // JSON of protobuf leaves out what is empty.
    data: bytesIn(data ?? ''),
  };
}

const toJson = ({ metadata, data }: Payload) => ({
  metadata: Object.fromEntries(Object.entries(metadata ?? {}).map(([name, each]) => [name, text(each)])),
  ...(data && data.length > 0 && { data: text(data) }),
});

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

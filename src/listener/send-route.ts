import { randomUUID } from 'node:crypto';
import type { Context } from 'koa';
import type { OutputSchema, TaskMessage } from '../contract/index.js';
import { reasonOf } from '../errors.js';
import type { HostContext } from '../session/model/host-context.js';
import { openWorkFile } from '../workdir/open-work-file.js';
import { WorkFileFault } from '../workdir/work-file-fault.js';
import { MAX_TEXT_CHARACTERS, parseOutputSchema } from '../input/parse-task-input.js';
import { isOwnId } from '../input/own-ids.js';
import { refuseBadSchemaPatterns } from '../input/patterns.js';
import { ok, Refusal } from './answer.js';
import { isObject, objectIn } from './json-body.js';
import { requireOpenTask, whileOpen } from './task-access.js';

const MAX_ID_CHARACTERS = 256;
const MAX_IMAGES = 100;

/** Accepts a message once by its id. It is durable once this answers, even before the session lives. */
export async function takeMessage(host: HostContext, ctx: Context): Promise<void> {
  const { prepared } = requireOpenTask(host, ctx);
  const message = messageOf(objectIn(ctx));
  for (const { path } of message.images ?? []) await checkImage(prepared.folder.work, path);
  const task = requireOpenTask(host, ctx);
  if (task.kind === 'live') {
    const { thread, link } = task.session;
    const isNew = await whileOpen(() => thread.accept(message));
    if (isNew) link.sessionChanged(thread.report());
  } else {
    await whileOpen(() => task.prepared.inbox.accept(message));
  }
  ok(ctx, { messageId: message.messageId });
}

function messageOf(body: Record<string, unknown>): TaskMessage {
  const { text, messageId = randomUUID(), steer, images, outputSchema } = body;
  if (typeof text !== 'string' || text === '') throw new Refusal(400, 'bad-text');
  if (isTooLong(text)) throw new Refusal(413, 'too-large');
  if (
    typeof messageId !== 'string' ||
    messageId === '' ||
    messageId.length > MAX_ID_CHARACTERS ||
    isOwnId(messageId)
  )
    throw new Refusal(400, 'bad-message-id');
  return {
    messageId: messageId.toWellFormed(),
    text: text.toWellFormed(),
    ...(steer === true && { steer }),
    ...(images !== undefined && { images: imagesOf(images) }),
    ...(outputSchema !== undefined && { outputSchema: schemaOf(outputSchema) }),
  };
}

function schemaOf(given: unknown): OutputSchema {
  try {
    const schema = parseOutputSchema(given);
    refuseBadSchemaPatterns(schema);
    return schema;
  } catch (error) {
    throw new Refusal(400, 'bad-output-schema', {}, reasonOf(error));
  }
}

function imagesOf(images: unknown): { path: string }[] {
  const isList = Array.isArray(images) && images.length <= MAX_IMAGES;
  const paths = isList ? images.map((each: unknown) => (isObject(each) ? each['path'] : null)) : [null];
  if (paths.every((path) => typeof path === 'string')) return paths.map((path) => ({ path }));
  throw new Refusal(400, 'bad-images');
}

async function checkImage(work: string, path: string): Promise<void> {
  try {
    const { handle } = await openWorkFile(work, path);
    await handle.close();
  } catch (error) {
    throw error instanceof WorkFileFault ? new Refusal(400, 'bad-images') : error;
  }
}

/** By code points, as codex counts. */
function isTooLong(text: string): boolean {
  if (text.length <= MAX_TEXT_CHARACTERS) return false;
  if (text.length > MAX_TEXT_CHARACTERS * 2) return true;
  let characters = text.length;
  for (const pair of text.matchAll(/[\uD800-\uDBFF][\uDC00-\uDFFF]/g)) characters -= pair.length;
  return characters > MAX_TEXT_CHARACTERS;
}

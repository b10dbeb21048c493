import Router from '@koa/router';
import type { Context, Middleware } from 'koa';
import { isControlValue } from '../input/payloads.js';
import type { HostContext } from '../session/model/host-context.js';
import { ok, Refusal } from './answer.js';
import { sendFile } from './download-route.js';
import type { StreamOptions } from './event-stream.js';
import { sendEvents } from './events-route.js';
import { objectIn, readBody } from './json-body.js';
import { takeDecision } from './permission-route.js';
import { takeMessage } from './send-route.js';
import { liveTask, requireOpenTask } from './task-access.js';
import { takeUploads } from './upload-route.js';

/** What clients of one task may ask. Who comes here is authorized. Each checks the task, the body, its fields. */
export function taskRoutes(host: HostContext, options: StreamOptions = {}): Router {
  const router = new Router({ prefix: '/tasks/:taskId' });
  const body = readBody();
  const open: Middleware = (ctx, next) => (requireOpenTask(host, ctx), next());
  const live: Middleware = (ctx, next) => (liveTask(host, ctx), next());

  router.get('/events', (ctx) => sendEvents(host, ctx, options));
  router.get('/download', (ctx) => sendFile(host, ctx));
  router.post('/send', open, body, (ctx) => takeMessage(host, ctx));
  router.post('/interrupt', live, (ctx) => interrupt(host, ctx));
  router.post('/permission', live, body, (ctx) => takeDecision(host, ctx));
  router.post('/control', live, body, (ctx) => takeControl(host, ctx));
  router.post('/model', live, body, (ctx) => takeModel(host, ctx));
  router.post('/upload', live, (ctx) => takeUploads(host, ctx));
  return router;
}

async function interrupt(host: HostContext, ctx: Context): Promise<void> {
  await liveTask(host, ctx).session.thread.interrupt();
  ok(ctx);
}

async function takeControl(host: HostContext, ctx: Context): Promise<void> {
  const { id, value } = objectIn(ctx);
  if (typeof id !== 'string' || id === '' || !isControlValue(id)) throw new Refusal(400, 'bad-id');
  if (!isControlValue(value)) throw new Refusal(400, 'bad-value');
  await setControl(host, ctx, id, value);
}

async function takeModel(host: HostContext, ctx: Context): Promise<void> {
  const { model } = objectIn(ctx);
  if (typeof model !== 'string' || model === '' || !isControlValue(model))
    throw new Refusal(400, 'bad-model');
  await setControl(host, ctx, 'model', model);
}

async function setControl(host: HostContext, ctx: Context, id: string, value: unknown): Promise<void> {
  const text = typeof value === 'string' ? value.toWellFormed() : value;
  await liveTask(host, ctx).session.thread.setControl({ id, value: text });
  ok(ctx);
}

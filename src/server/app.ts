import Koa from 'koa';
import Router from '@koa/router';
import { reasonOf } from '../errors.js';
import type { HostContext } from '../session/host-context.js';
import { refuse, Refusal } from './answer.js';
import { authorize } from './auth.js';
import { isTaskId, taskRoutes } from './task-routes.js';

export interface AppOptions {
  readonly host: HostContext;
  readonly secret: string;
  /** Why the worker is not ready to take tasks, or null. */
  readonly notReady: () => string | null;
}

/** The listener: errors, then health, then who may see a task, then the task's routes. */
export function createApp({ host, secret, notReady }: AppOptions): Koa {
  const app = new Koa();
  app.on('error', (error: unknown) => host.log.error({ reason: reasonOf(error) }, 'listener.error'));

  app.use(async (ctx, next) => {
    try {
      await next();
      if (ctx.status === 404 && ctx.body === undefined && ctx.respond !== false)
        throw new Refusal(404, 'not-found');
      if (ctx.status === 405 || ctx.status === 501) ctx.body = { ok: false, reason: 'method-not-allowed' };
    } catch (error) {
      refuse(ctx, error);
      if (ctx.status === 500) host.log.error({ path: ctx.path, reason: reasonOf(error) }, 'listener.failed');
    }
  });

  const open = new Router();
  open.get('/health', (ctx) => {
    ctx.body = { ok: true, hostId: host.hostId, sessions: host.tasks.size };
  });
  open.get('/ready', (ctx) => {
    const reason = notReady();
    ctx.status = reason === null ? 200 : 503;
    ctx.body = reason === null ? { ok: true } : { ok: false, reason };
  });
  app.use(open.routes()).use(open.allowedMethods());

  app.use(async (ctx, next) => {
    const [, taskId] = /^\/tasks\/([^/]+)\//.exec(ctx.path) ?? [];
    if (taskId === undefined || !isTaskId(taskId)) throw new Refusal(404, 'not-found');
    authorize(ctx, secret, taskId);
    await next();
  });
  const tasks = taskRoutes(host);
  app.use(tasks.routes()).use(tasks.allowedMethods());
  return app;
}

import Koa from 'koa';
import Router from '@koa/router';
import { reasonOf } from '../errors.js';
import type { HostContext } from '../session/model/host-context.js';
import { refuse, Refusal } from './answer.js';
import { authorize, authorizeOperator } from './auth.js';
import { codecRoutes } from './codec-routes.js';
import { cors, isOfCodec } from './cors.js';
import type { StreamOptions } from './event-stream.js';
import { refuseForeign } from './foreign.js';
import { countRequest, metricsPage, type Counts } from './metrics.js';
import { passOverBody } from './refused-body.js';
import { welcome } from './strangers.js';
import { taskRoutes } from './task-routes.js';
import { taskIdIn } from './task-segment.js';

export interface AppOptions {
  readonly host: HostContext;
  readonly secret: string;
  /** Why the worker is not ready to take tasks, or null. */
  readonly notReady: () => string | null;
  /** Resolves when the tasks of an earlier worker are taken up: until then nobody can say which are unknown. */
  readonly recovered?: Promise<void>;
  /** Credentials in quarantine, for `/metrics`; null: the database does not say. */
  readonly quarantined?: () => Promise<number | null>;
  readonly streams?: StreamOptions;
}

/**
 * The listener, in order: errors, pages of other sites, health, routes of operators, authorization for a task, the
 * task's routes.
 */
export function createApp(options: AppOptions): Koa {
  const { host, secret, notReady, recovered, quarantined, streams = {} } = options;
  const app = new Koa();
  app.on('error', (error: unknown) => host.log.warn({ reason: reasonOf(error) }, 'listener.cut'));

  const counts: Counts = { subscribers: 0, requests: new Map() };
  app.use(answerErrors(host, counts));
  app.use(cors(host.config));
  app.use(refuseForeign(host.config));

  const open = new Router();
  open.get('/health', (ctx) => {
    ctx.body = { ok: true, hostId: host.hostId, sessions: host.tasks.size };
  });
  open.get('/ready', (ctx) => {
    const reason = notReady();
    ctx.status = reason === null ? 200 : 503;
    if (reason !== null) ctx.set('Retry-After', '2');
    ctx.body = reason === null ? { ok: true } : { ok: false, reason };
  });
  open.get('/metrics', async (ctx) => {
    authorizeOperator(ctx, secret);
    welcome(ctx.req.socket);
    ctx.type = 'text/plain; version=0.0.4; charset=utf-8';
    ctx.body = metricsPage(host, counts, (await quarantined?.()) ?? null);
  });
  app.use(open.routes()).use(open.allowedMethods());

  app.use(async (ctx, next) => {
    if (isOfCodec(ctx.path)) {
      authorizeOperator(ctx, secret);
      welcome(ctx.req.socket);
    }
    await next();
  });
  app.use(codecRoutes(host.config.payloadKeys).routes());

  app.use(async (ctx, next) => {
    const [, segment] = /^\/tasks\/([^/]+)\//.exec(ctx.path) ?? [];
    const taskId = segment === undefined ? null : taskIdIn(segment);
    if (taskId === null) throw new Refusal(404, 'not-found');
    authorize(ctx, secret, taskId);
    welcome(ctx.req.socket);
    await recovered;
    await next();
  });
  const tasks = taskRoutes(host, { ...streams, counts });
  app.use(tasks.routes()).use(tasks.allowedMethods());
  return app;
}

function answerErrors(host: HostContext, counts: Counts): Koa.Middleware {
  return async (ctx, next) => {
    try {
      if (!hasPath(ctx)) throw new Refusal(400, 'bad-request');
      await next();
      if (ctx.respond === false) return;
      // The router's answer to a method that no route here has.
      if (ctx.status === 405 || ctx.status === 501)
        refuse(ctx, ctx.response.get('allow') ? METHOD_NOT_ALLOWED : NOT_FOUND);
      else if (ctx.status === 404 && ctx.body === undefined) refuse(ctx, NOT_FOUND);
    } catch (error) {
      refuse(ctx, error);
      if (ctx.status === 500) host.log.error({ path: ctx.path, reason: reasonOf(error) }, 'listener.failed');
    } finally {
      countRequest(counts, ctx.respond === false ? ctx.res.statusCode : ctx.status);
      // Reads the rest, since the connection's next request would wait behind it.
      passOverBody(ctx);
    }
  };
}

/** Whether the target of the request can be read: node:url throws at an absolute one that is none. */
function hasPath(ctx: Koa.Context): boolean {
  try {
    return ctx.path !== undefined;
  } catch {
    return false;
  }
}

const NOT_FOUND = new Refusal(404, 'not-found');
const METHOD_NOT_ALLOWED = new Refusal(405, 'method-not-allowed');

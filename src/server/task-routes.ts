import Router from '@koa/router';
import { koaBody } from 'koa-body';
import type { Context, Middleware } from 'koa';
import { randomUUID } from 'node:crypto';
import { TASK_ID_PATTERN } from '../contract.js';
import { reasonOf, TaskError } from '../errors.js';
import { MAX_TEXT_CHARACTERS } from '../task-input.js';
import type { HostContext } from '../session/host-context.js';
import type { HostTask } from '../session/host-tasks.js';
import { openEnded } from '../session/ended-tasks.js';
import { ok, Refusal, unavailable } from './answer.js';
import { lastEventId, streamEvents } from './event-stream.js';

const BODY_LIMIT = '8mb';

type Live = Extract<HostTask, { is: 'live' }>;

/** What clients of one task may ask. Who comes here is authorized. */
export function taskRoutes(host: HostContext): Router {
  const router = new Router({ prefix: '/tasks/:taskId' });
  const json = jsonBody();

  router.get('/events', async (ctx) => {
    const task = known(host, ctx);
    const journal = task?.prepared.journal ?? (await openEnded(host.config.dataDir, taskIdOf(ctx)));
    if (!journal) throw new Refusal(404, 'unknown-task');
    const afterId = lastEventId(ctx.req, journal);
    ctx.respond = false;
    if (journal.ended && afterId === journal.lastId) ctx.res.writeHead(204).end();
    else streamEvents(ctx.res, journal, afterId);
    if (!task) ctx.res.once('close', () => void journal.close());
  });

  router.post('/send', json, async (ctx) => {
    const { session } = live(host, ctx);
    const { text, messageId = randomUUID(), steer } = bodyOf(ctx);
    if (typeof text !== 'string' || text === '') throw new Refusal(400, 'bad-text');
    if (text.length > MAX_TEXT_CHARACTERS) throw new Refusal(413, 'too-large');
    if (typeof messageId !== 'string' || messageId === '') throw new Refusal(400, 'bad-message-id');
    const message = { messageId, text: text.toWellFormed(), ...(steer === true && { steer }) };
    const isNew = await whenOpen(() => session.conversation.accept(message));
    if (isNew) session.link.sessionChanged(session.conversation.report());
    ok(ctx, { messageId });
  });

  router.post('/interrupt', async (ctx) => {
    const { session } = live(host, ctx);
    await session.conversation.interrupt();
    ok(ctx);
  });

  router.post('/permission', json, async (ctx) => {
    const task = live(host, ctx);
    const { request_id, behavior, updated_input, message, scope } = bodyOf(ctx);
    if (behavior !== 'allow' && behavior !== 'deny') throw new Refusal(400, 'bad-behavior');
    const requestId = String(request_id);
    const decision = {
      requestId,
      behavior,
      decidedBy: 'http',
      ...(isObject(updated_input) && { updatedInput: updated_input }),
      ...(typeof message === 'string' && { message: message.toWellFormed() }),
      ...((scope === 'once' || scope === 'session') && { scope }),
    };
    await decide(host, task, decision);
    ok(ctx);
  });

  router.post('/control', json, async (ctx) => {
    const { session } = live(host, ctx);
    const { id, value } = bodyOf(ctx);
    if (typeof id !== 'string' || id === '') throw new Refusal(400, 'bad-id');
    session.conversation.setControl({ id, value });
    ok(ctx);
  });

  router.post('/model', json, async (ctx) => {
    const { session } = live(host, ctx);
    const { model } = bodyOf(ctx);
    if (typeof model !== 'string' || model === '') throw new Refusal(400, 'bad-model');
    session.conversation.setControl({ id: 'model', value: model });
    ok(ctx);
  });

  return router;
}

/** Answers only when Temporal has the decision; the one who claims the request first is the only one who gets 200. */
async function decide(
  host: HostContext,
  { session, ref }: Live,
  decision: { requestId: string },
): Promise<void> {
  const { gate } = session.conversation;
  if (!gate.claim(decision.requestId)) throw new Refusal(404, 'unknown-request');
  try {
    const sent = await host.signalWorkflow(ref, 'permissionDecision', decision);
    if (sent === 'workflow-gone') throw new Refusal(409, 'closed');
  } catch (error) {
    gate.unclaim(decision.requestId);
    if (error instanceof Refusal) throw error;
    host.log.warn({ taskId: ref.taskId, reason: reasonOf(error) }, 'decision.undelivered');
    throw unavailable('temporal-unreachable');
  }
}

const taskIdOf = (ctx: Context): string => (ctx.params as { taskId: string }).taskId;

/** The task as far as clients may know of it. */
function known(host: HostContext, ctx: Context): Exclude<HostTask, { is: 'claimed' }> | null {
  const task = host.tasks.find(taskIdOf(ctx));
  return task && task.is !== 'claimed' ? task : null;
}

function live(host: HostContext, ctx: Context): Live {
  const task = known(host, ctx);
  if (!task) throw endedRefusal(host, ctx);
  if (task.is !== 'live' || !task.mounted) throw unavailable('starting');
  if (task.session.closed) throw new Refusal(409, 'closed');
  return task;
}

function endedRefusal(host: HostContext, ctx: Context): Refusal {
  return host.ended.has(taskIdOf(ctx)) ? new Refusal(409, 'closed') : new Refusal(404, 'unknown-task');
}

async function whenOpen<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof TaskError && error.code === 'SessionNotHere') throw new Refusal(409, 'closed');
    throw error;
  }
}

/** A JSON object whatever Content-Type is told, since the original's clients tell none or another. */
function jsonBody(): Middleware {
  const read = koaBody({
    json: false,
    urlencoded: false,
    multipart: false,
    text: true,
    textLimit: BODY_LIMIT,
  });
  return (ctx, next) => {
    ctx.req.headers['content-type'] = 'text/plain; charset=utf-8';
    return read(ctx, next) as Promise<void>;
  };
}

function bodyOf(ctx: Context): Record<string, unknown> {
  try {
    const body: unknown = JSON.parse(ctx.request.body as string);
    if (isObject(body)) return body;
  } catch {
    // Said below.
  }
  throw new Refusal(400, 'bad-json');
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const isTaskId = (id: string): boolean => TASK_ID_PATTERN.test(id);

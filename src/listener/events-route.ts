import type { Context } from 'koa';
import type { HostContext } from '../session/model/host-context.js';
import type { Journal } from '../journal/journal.js';
import { Refusal } from './answer.js';
import { lastEventId, streamEvents, type StreamOptions } from './event-stream.js';
import { boundStreams } from './stream-bound.js';
import { knownTask, taskIdOf } from './task-access.js';
import { isClosed } from '../journal/is-closed.js';

/** The task's events, also before its session lives and for a while after its end. */
export async function sendEvents(host: HostContext, ctx: Context, options: StreamOptions): Promise<void> {
  const task = knownTask(host, ctx);
  if (task) {
    const { journal } = task.prepared;
    // The stream of a task that continues elsewhere ends too: its clients come back until the task has ended.
    return stream(ctx, journal, options, journal.ended && (await isClosed(journal)));
  }
  const ended = await host.ended.open(taskIdOf(ctx));
  if (!ended) throw new Refusal(404, 'unknown-task');
  // Also for a client that left meanwhile.
  if (ctx.res.closed) return ended.release();
  ctx.res.once('close', ended.release);
  stream(ctx, ended.journal, options, true);
}

function stream(ctx: Context, journal: Journal, options: StreamOptions, isOver: boolean): void {
  ctx.respond = false;
  const afterId = lastEventId(ctx.req, journal);
  // Answers 204, so that a browser does not connect again after the end.
  if (isOver && afterId === journal.lastId) ctx.res.writeHead(204).end();
  else {
    boundStreams(journal, ctx.res, options.most);
    streamEvents(ctx.res, journal, afterId, options);
  }
}

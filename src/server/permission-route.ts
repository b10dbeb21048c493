import type { Context } from 'koa';
import type { PermissionDecision } from '../contract.js';
import { reasonOf, TaskError } from '../errors.js';
import type { HostContext } from '../session/host-context.js';
import { parseDecision } from '../task-input.js';
import { ok, Refusal, unavailable } from './answer.js';
import { isObject, objectIn } from './json-body.js';
import { liveTask, type Live } from './task-access.js';

/**
 * Forwards a decision to the workflow and answers when Temporal has it. The one who claims the request first
 * is the only one who gets 200. One that lacks what its request needs is refused, and the request stays open.
 */
export async function takeDecision(host: HostContext, ctx: Context): Promise<void> {
  const task = liveTask(host, ctx);
  const { request_id, behavior, updated_input, message, scope } = objectIn(ctx);
  if (behavior !== 'allow' && behavior !== 'deny') throw new Refusal(400, 'bad-behavior');
  if (typeof request_id !== 'string' && typeof request_id !== 'number')
    throw new Refusal(404, 'unknown-request');
  const requestId = String(request_id);
  await decide(host, task, {
    requestId,
    behavior,
    decidedBy: 'http',
    ...(isObject(updated_input) && { updatedInput: updated_input }),
    ...(typeof message === 'string' && { message }),
    ...((scope === 'once' || scope === 'session') && { scope }),
  });
  ok(ctx);
}

async function decide(
  host: HostContext,
  { session, ref }: Live,
  decision: PermissionDecision,
): Promise<void> {
  const { link } = session;
  const { gate } = session.conversation;
  const claimed = gate.claim(decision.requestId, decision);
  if (typeof claimed === 'string') throw new Refusal(400, 'missing-input', {}, claimed);
  if (!claimed) throw new Refusal(404, 'unknown-request');
  try {
    const argument = checked(decision);
    await link.told(decision.requestId);
    const sent = await host.signalWorkflow(ref, 'permissionDecision', argument);
    if (sent === 'workflow-gone') throw new Refusal(409, 'closed');
  } catch (error) {
    gate.unclaim(decision.requestId);
    if (error instanceof Refusal) throw error;
    host.log.warn({ taskId: ref.taskId, reason: reasonOf(error) }, 'decision.undelivered');
    throw unavailable('temporal-unreachable');
  }
}

/** The decision as it may travel: texts well-formed, nothing too large or too deep. */
function checked(decision: unknown): unknown {
  try {
    return parseDecision(decision);
  } catch (error) {
    if (error instanceof RangeError) throw new Refusal(400, 'bad-json');
    if (error instanceof TaskError) throw new Refusal(413, 'too-large');
    throw error;
  }
}

import type { Context } from 'koa';
import type { PermissionDecision } from '../contract/index.js';
import { reasonOf, TaskError } from '../errors.js';
import type { Decided, HostContext } from '../session/model/host-context.js';
import { parseDecision } from '../input/parse-task-input.js';
import { ok, Refusal, unavailable } from './answer.js';
import { isObject, objectIn } from './json-body.js';
import { liveTask, type Live } from './task-access.js';

/**
 * Sends a decision to the workflow and passes on its answer: it alone knows decisions that came another way. One that
 * lacks what its request needs is refused, and the request stays open.
 */
export async function takeDecision(host: HostContext, ctx: Context): Promise<void> {
  const task = liveTask(host, ctx);
  const { request_id, behavior, updated_input, message, scope } = objectIn(ctx);
  if (behavior !== 'allow' && behavior !== 'deny') throw new Refusal(400, 'bad-behavior');
  if (typeof request_id !== 'string' && typeof request_id !== 'number')
    throw new Refusal(404, 'unknown-request');
  const requestId = String(request_id);
  const decision: PermissionDecision = {
    requestId,
    behavior,
    decidedBy: 'http',
    ...(isObject(updated_input) && { updatedInput: updated_input }),
    ...(typeof message === 'string' && { message }),
    ...((scope === 'once' || scope === 'session') && { scope }),
  };
  await decide(host, task, decision, updated_input);
  ok(ctx);
}

async function decide(
  host: HostContext,
  { session, ref }: Live,
  decision: PermissionDecision,
  updatedInput: unknown,
): Promise<void> {
  const { link } = session;
  const { permissions } = session.thread;
  const claimed = permissions.claim(decision.requestId, { behavior: decision.behavior, updatedInput });
  if (typeof claimed === 'string') throw new Refusal(400, 'missing-input', {}, claimed);
  if (!claimed) throw new Refusal(404, 'unknown-request');
  try {
    const travels = checked(decision);
    await link.told(decision.requestId);
    refuseUnless(await host.decidePermission(ref, travels));
  } catch (error) {
    permissions.unclaim(decision.requestId);
    if (error instanceof Refusal) throw error;
    host.log.warn({ taskId: ref.taskId, reason: reasonOf(error) }, 'decision.undelivered');
    throw unavailable('temporal-unreachable');
  }
}

/** @throws Refusal unless the decision counts */
function refuseUnless(decided: Decided): void {
  if (decided === 'taken') return;
  if (decided === 'settled') throw new Refusal(404, 'unknown-request');
  // Temporal has the request: its workflow will have it too.
  if (decided === 'unknown') throw new Error('the workflow does not have the request yet');
  if (typeof decided === 'object') throw new Refusal(400, 'missing-input', {}, decided.missing);
  throw new Refusal(409, 'closed');
}

/** The decision as it may travel: texts well-formed, nothing too large or too deep. */
function checked(decision: unknown): PermissionDecision {
  try {
    return parseDecision(decision);
  } catch (error) {
    if (error instanceof RangeError) throw new Refusal(400, 'bad-json');
    if (error instanceof TaskError) throw new Refusal(413, 'too-large');
    throw error;
  }
}

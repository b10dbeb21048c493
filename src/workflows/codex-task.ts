import type { SessionEnd } from '../contract/activities.js';
import type { CodexTaskInput, CodexTaskResult, Outcome } from '../contract/index.js';
import type { HostProxy } from './activity-proxies.js';
import { assign } from './assign.js';
import { isPlaced, type Placed } from './assignment.js';
import { betweenHooks } from './between-hooks.js';
import { failOver } from './fail-over.js';
import { follow } from './follow.js';
import { serveHookRequests } from './hook-requests.js';
import { launch, prepare } from './launch.js';
import { throughUsageLimits } from './parking.js';
import { askPermissionHook } from './permission-hook.js';
import { beforeNextTry } from './refusals.js';
import { raceInScope } from './race.js';
import type { Task } from './task.js';
import type { CarriedTask } from './task-state.js';
import { type EndOnHost, withTearDown } from './with-tear-down.js';
import { withTask } from './with-task.js';
import { withinTotal } from './within-total.js';

/**
 * Runs one Codex job: acquires a credential, claims a host, prepares and launches Codex there, follows its session
 * and always tears down. Takes messages and decisions by signal meanwhile (`message-handlers.ts`). A task outlives
 * its host (`fail-over.ts`) and the length of a history (`continue-as-new.ts`). Fails with an `ApplicationFailure`
 * whose type is one of `errors.ts`.
 * @param past state of an earlier run; callers pass none
 */
export async function codexTask(given?: CodexTaskInput, past?: CarriedTask): Promise<CodexTaskResult> {
  return withTask(given, past, (task, input) =>
    withinTotal(task, () => betweenHooks(task, input, () => untilItEnds(task))),
  );
}

/** Runs one assignment after another: neither an unfit host nor a lost one costs the task. */
async function untilItEnds(task: Task): Promise<Outcome> {
  const { state } = task;
  for (;;) {
    // Acquires a credential, then claims a host.
    const assignment = isPlaced(state.assignment) ? state.assignment : await assign(task);
    if (!assignment) return 'closed';
    const end = assignment.isLost ? 'host-gone' : await runOn(task, assignment);
    if (end === 'again') await beforeNextTry(task, assignment);
    else if (end !== 'host-gone') return end;
    else if ((await failOver(task, assignment)) === 'closed') return 'closed';
  }
}

/** Runs sessions on one host, parked while the account is out of quota, then tears down. */
const runOn = (task: Task, assignment: Placed): Promise<EndOnHost> =>
  withTearDown(task, assignment, (host) =>
    throughUsageLimits(task, assignment, host, () =>
      raceInScope(
        () => runSession(task, assignment, host),
        () => serveHookRequests(task),
        () => askPermissionHook(task),
      ),
    ),
  );

/** Runs Codex's side of the task, from wherever it stands to the end of the thread. */
async function runSession(task: Task, assignment: Placed, host: HostProxy): Promise<SessionEnd['end']> {
  if (assignment.stage === 'new' && (await prepare(task, assignment, host)) === 'closed')
    return { kind: 'closed' };
  if (assignment.stage !== 'live') await launch(task, assignment, host);
  return follow(task, assignment, host);
}

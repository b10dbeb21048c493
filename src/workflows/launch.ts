import { boundControls } from '../budgets/bound-report.js';
import { BUDGETS, jsonBytes } from '../budgets/budgets.js';
import type { HostProxy } from './activity-proxies.js';
import type { Placed } from './assignment.js';
import { beforeExecute } from './execution-hooks.js';
import { keepSpec } from './keep.js';
import type { Task } from './task.js';
import { tellRules } from './task-rules.js';

/**
 * Has the host make the workdir, fresh or restored, then calls `beforeExecute`. `closed`: the task was closed
 * meanwhile.
 * @throws ApplicationFailure `HookFailed`
 */
export async function prepare(task: Task, { lease }: Placed, host: HostProxy): Promise<'closed' | null> {
  const { ref, spec, state } = task;
  task.enter('preparing');
  const hookRequests = task.hookRequests.known();
  if (jsonBytes(spec) > BUDGETS.prepare) await keepSpec(task);
  const { keptSpec, previousHost } = state;
  await host.prepareWorkdir({
    ref,
    spec,
    ...(keptSpec && { keptSpec }),
    lease,
    ...(previousHost && { moved: { ...previousHost, hookRequests } }),
  });
  return beforeExecute(task);
}

/** Launches Codex, then opens the listener: from here on the assignment is `live`. */
export async function launch(task: Task, assignment: Placed, host: HostProxy): Promise<void> {
  const { ref, spec, state } = task;
  const isNew = assignment.stage === 'new';
  task.enter('starting');
  const { warnings, isBusy = spec.prompt !== null || !isNew, ...launched } = await host.launchAppServer(ref);
  const controls = boundControls(launched.controls);
  assignment.codexStarted = true;
  state.triesInVain = 0;
  task.update({ ...launched, controls });
  task.warnOnce(warnings);
  task.update({ listener: await host.openListener(ref) });
  assignment.activity = isBusy ? 'running' : 'idle';
  task.enter(assignment.activity);
  assignment.stage = 'live';
  tellRules(task);
}

import { randomBytes } from 'node:crypto';
import { CancelledFailure } from '@temporalio/common';
import { asActivities } from '../activities/as-activity.js';
import { deliverInOrder } from '../activities/delivery-parts.js';
import type { ClaimActivities, HostActivities, SharedActivities } from '../activities/index.js';
import type * as args from '../contract/activities.js';
import { TaskError } from '../errors.js';
import { refuseBadPatterns } from '../input/patterns.js';
import { firstMessages } from '../session/connect/first-messages.js';
import { delivererTo } from './deliverer.js';
import { openPlay } from './play.js';
import { playSession } from './play-session.js';
import type { KeptTexts } from './kept-texts.js';
import type { ScriptedTask, ScriptedTasks } from './scripted-tasks.js';
import type { ScriptStep } from './script.js';

/** How long a lease lives: as good as for ever, so that no skipped time takes a host for lost. Milliseconds. */
const TTL_MS = 365 * 86_400_000;

/** The steps of a worker, as in the real one, on scripts in place of hosts. */
export interface ScriptedSteps {
  readonly shared: SharedActivities;
  readonly claim: ClaimActivities;
  readonly host: HostActivities;
}

type Name = keyof SharedActivities | keyof ClaimActivities | keyof HostActivities;

/** Each tells of its call by its name, and finds its task. */
export function scriptedSteps(tasks: ScriptedTasks, texts: KeptTexts): ScriptedSteps {
  const find = findersIn(tasks);
  const host = { ...workingActivities(tasks, texts, find), ...endingActivities(find) };
  return {
    shared: asActivities(sharedActivities(tasks, texts, find), { isAnywhere: true }),
    claim: asActivities(claimActivity(tasks, find), { isAnywhere: true }),
    host: asActivities(host),
  };
}

type Finders = ReturnType<typeof findersIn>;

function findersIn(tasks: ScriptedTasks) {
  const noted = (ref: args.TaskRef, name: Name): ScriptedTask => {
    const task = tasks.of(ref);
    task.heard.steps.push(name);
    return task;
  };
  /** The task, where it is in this assignment. @throws TaskError `HostLost` when it is no more */
  const here = (ref: args.TaskRef, name: Name): ScriptedTask => {
    const task = noted(ref, name);
    if (task.lost.has(ref.assignmentId)) throw new TaskError('HostLost', 'The script lost this host');
    return task;
  };
  return { noted, here };
}

function sharedActivities(tasks: ScriptedTasks, texts: KeptTexts, { noted }: Finders): SharedActivities {
  return {
    async acquireLease({ ref, credential }) {
      const task = noted(ref, 'acquireLease');
      failFirst(task, 'NoCredential');
      const searchAttributes = false;
      const { limitedUntilMs } = task;
      if ('none' in credential || 'apiKeyEnv' in credential) return { kind: 'no-seed', searchAttributes };
      if ((await tasks.now()) < limitedUntilMs) {
        const limit = { until: new Date(limitedUntilMs).toISOString(), isAll: true };
        return { kind: 'busy', limit, searchAttributes };
      }
      const seedId = 'seedId' in credential ? credential.seedId : `scripted-${credential.pool}`;
      const holder = `${ref.taskId}/${ref.runId}/${ref.assignmentId}`;
      return { kind: 'leased', lease: { seedId, holder, leaseEpoch: ++task.leaseEpoch }, searchAttributes };
    },
    // It has no task by which to find its script.
    releaseLease: async () => undefined,
    fenceHost: async ({ ref }) => (noted(ref, 'fenceHost'), 'fenced'),
    awaitHost: async ({ ref }) => (noted(ref, 'awaitHost'), 'over'),
    evictTask: async ({ ref }) => (noted(ref, 'evictTask'), 'left'),
    keepText: async ({ text }) => ({ blobId: texts.keep(text) }),
    readText: async ({ blobId }) => ({ text: texts.read(blobId) }),
    dropTexts: async ({ blobIds }) => texts.drop(blobIds),
  };
}

function claimActivity(tasks: ScriptedTasks, { noted }: Finders): ClaimActivities {
  return {
    async claimHost({ protocol: _, avoid: __, ...ref }) {
      const task = noted(ref, 'claimHost');
      const hostId = tasks.hostIds[task.heard.hosts.length % tasks.hostIds.length]!;
      task.heard.hosts.push(hostId);
      return { hostId, ttlMs: TTL_MS };
    },
  };
}

type Working = 'prepareWorkdir' | 'launchAppServer' | 'openListener' | 'followSession' | 'deliver';

function workingActivities(
  tasks: ScriptedTasks,
  texts: KeptTexts,
  { here }: Finders,
): Pick<HostActivities, Working> {
  return {
    async prepareWorkdir({ ref, spec: given, keptSpec, lease, moved }) {
      const task = here(ref, 'prepareWorkdir');
      const spec = keptSpec ? { ...given, ...(texts.json(keptSpec) as Partial<typeof given>) } : given;
      refuseBadPatterns(spec);
      failFirst(task, 'BadInput', 'SnapshotUnreadable');
      if (spec.approvals.policy === 'never' && asksSomebody(task.script.steps))
        throw new TaskError(
          'BadInput',
          'approvals.policy: with never codex asks nobody, but the script asks',
        );
      const { script, signals, heard } = task;
      const isNew = task.play === null;
      const play = (task.play ??= openPlay({
        script,
        signals,
        heard,
        spec,
        ref,
        now: tasks.now,
        anyAsked: tasks.anyAsked,
      }));
      Object.assign(play, { ref, lease });
      play.incarnation = Math.max(play.incarnation, (moved?.generation ?? 0) * 1_000);
      if (!isNew) return;
      const first = firstMessages(spec, spec.resume ? 'resumed' : 'new', []);
      play.queue.push(...first);
      heard.messages.push(...first);
    },

    async launchAppServer(ref) {
      const play = playOf(here(ref, 'launchAppServer'));
      play.incarnation++;
      play.asked = 0;
      const { activity, model } = play.report();
      const controls = play.choice.controls();
      return { threadId: play.threadId, model, controls, warnings: [], isBusy: activity === 'running' };
    },

    async openListener(ref) {
      here(ref, 'openListener');
      return { url: `http://scripted.invalid/tasks/${encodeURIComponent(ref.taskId)}` };
    },

    async followSession(ref) {
      const task = here(ref, 'followSession');
      const session = task.begin(ref.assignmentId);
      try {
        return await playSession(playOf(task), session.signal);
      } catch (error) {
        if (error instanceof TaskError && error.code === 'HostLost') task.lost.add(ref.assignmentId);
        else if (session.signal.aborted && !(error instanceof TaskError))
          throw new CancelledFailure('The session ended');
        throw error;
      } finally {
        session.over();
      }
    },

    async deliver(delivery) {
      const task = here(delivery.ref, 'deliver');
      const play = playOf(task);
      await deliverInOrder(delivery, delivererTo(task, play), async (kept) => texts.json(kept));
      if (delivery.close) play.closing = task.heard.closed = true;
      if (play.closing && play.turn) play.turn.cut ??= 'close';
      const report = play.report();
      play.changed.notifyAll();
      return report;
    },
  };
}

function endingActivities({ noted, here }: Finders): Omit<HostActivities, Working> {
  return {
    async yieldAssignment(ref) {
      noted(ref, 'yieldAssignment').end();
    },

    async parkTask({ ref, until }) {
      here(ref, 'parkTask').limitedUntilMs = Date.parse(until);
    },

    async unparkTask({ ref, lease }) {
      playOf(here(ref, 'unparkTask')).lease = lease;
    },

    async endSession(ref) {
      const task = here(ref, 'endSession');
      const open = task.play?.open;
      if (open) task.signals.say('permissionSettled', { requestId: open.request.requestId, reason: 'close' });
      task.end();
      await task.signals.said();
      return { warnings: [] };
    },

    async saveCredential({ ref, lease }) {
      here(ref, 'saveCredential');
      return { warnings: [], quarantineId: null, lease };
    },

    async captureSeed({ ref, lease }) {
      here(ref, 'captureSeed');
      if (lease) return { seedId: lease.seedId, skipped: null };
      return { seedId: null, skipped: 'no valid auth.json in its home' };
    },

    async takeSnapshot({ ref }) {
      here(ref, 'takeSnapshot');
      return { snapshotId: randomBytes(12).toString('hex') };
    },

    async closeTask({ ref }) {
      noted(ref, 'closeTask').end();
    },
  };
}

/** What the steps of a session find prepared. @throws TaskError `SessionNotHere` */
function playOf({ play }: ScriptedTask): NonNullable<ScriptedTask['play']> {
  if (play) return play;
  throw new TaskError('SessionNotHere', 'The task was not prepared here');
}

/** Fails where the script says that the task does before codex runs. */
function failFirst({ script }: ScriptedTask, ...codes: string[]): void {
  const [step] = script.steps;
  if (step?.does === 'fail' && codes.includes(step.code)) throw new TaskError(step.code, step.message);
}

/** Whether it asks for what the approval policy is about. */
const asksSomebody = (steps: readonly ScriptStep[]): boolean =>
  steps.some(
    (step) =>
      step.does === 'ask' &&
      (['command', 'fileChange', 'permissions'].includes(step.request.kind) ||
        asksSomebody([...step.onAllow, ...step.onDeny])),
  );

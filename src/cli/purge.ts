import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { within } from '../async/within.js';
import type { TaskClient, TaskHandle } from '../client/index.js';
import { TaskError } from '../errors.js';
import type { LeftoverFolders } from '../session/host/leftover-folders.js';
import type { NotPurged, NamedByOthers } from '../store/purge-task.js';
import type { CliIo } from './io.js';
import type { Output } from './output.js';
import { taskWord } from './shell-word.js';
import { purgeText, purgeView } from './purge-text.js';
import { withStore } from './with-store.js';
import { withTasks } from './with-tasks.js';
import { checkTaskId } from '../input/task-id.js';
import type { PurgePlan } from './purge-plan.js';

interface PurgeFlags {
  yes?: true;
  dryRun?: true;
  json?: true;
}

/** `codex-task purge TASK` */
export function addPurge(program: Command, io: CliIo): void {
  program
    .command('purge')
    .description('remove everything stored for an ended task: snapshots, events, deliverables, its files')
    .argument('<task-id>', '', checkTaskId)
    .option('-y, --yes', 'do not ask for confirmation')
    .option('--dry-run', 'list what would be removed, and remove nothing')
    .option('--json', 'one JSON line on stdout')
    .action((taskId: string, flags: PurgeFlags) => purge(taskId, flags, io));
}

async function purge(taskId: string, flags: PurgeFlags, io: CliIo): Promise<void> {
  const output = io.output(flags.json);
  const { dryRun = false } = flags;
  const { isEmpty, findRemains, removeRemains } = await import('../store/purge-task.js');
  const { leftoverFolders, removeKept } = await import('../session/host/leftover-folders.js');
  const { readConfig } = await import('../config.js');
  const folders = await leftoverFolders(readConfig(io.env).dataDir, taskId);
  await withTasks(io, (tasks) =>
    withStore(io, async (store) => {
      const task = tasks.handle(taskId);
      await requireEnded(task);
      const remains = await findRemains(store, taskId, await namedByOthers(tasks));
      const left = [...remains.left, ...leftOn(folders), ...(await leftElsewhere(task, folders))];
      const isClear = isEmpty(remains) && folders.ownerless.length === 0;
      const plan: PurgePlan = { taskId, remains, folders, left, isEmpty: isClear };
      const report = (state: 'would go' | 'purged') =>
        output.result(purgeView(plan, state), purgeText(plan, state, output.paint));
      if (dryRun) return report('would go');
      if (!isClear && flags.yes !== true) await ask(plan, io, output);
      // It may have been started again meanwhile; what that one stores is not among what was found.
      await requireEnded(task);
      await removeRemains(store, remains);
      await removeKept(folders);
      report('purged');
    }),
  );
}

/** @throws TaskError `BadInput` when it runs, `Unavailable` when nobody says; a task that Temporal has forgotten has ended */
async function requireEnded(task: TaskHandle): Promise<void> {
  const { taskId } = task;
  const status = await task.describe().then(
    (description) => description.status.name,
    (error: unknown) => {
      if (error instanceof TaskError && error.code === 'NotFound') return null;
      throw error;
    },
  );
  if (status !== 'RUNNING') return;
  throw new TaskError(
    'BadInput',
    `task ${taskId} is running: end it first (codex-task close ${taskWord(taskId)}, or cancel it in Temporal), then purge it`,
  );
}

async function namedByOthers(tasks: TaskClient): Promise<NamedByOthers> {
  const named = {
    blobs: new Map<string, string>(),
    snapshots: new Map<string, string>(),
    keys: new Map<string, string>(),
  };
  for await (const { taskId, input } of tasks.runningInputs()) {
    for (const { blobId } of input.files ?? []) named.blobs.set(blobId.toLowerCase(), taskId);
    const { resume } = input;
    if (resume && 'snapshotId' in resume) named.snapshots.set(resume.snapshotId.toLowerCase(), taskId);
    if (resume && 'snapshotKey' in resume) named.keys.set(resume.snapshotKey, taskId);
  }
  return named;
}

const leftOn = ({ own }: LeftoverFolders): NotPurged[] =>
  own === null
    ? []
    : [{ what: own, why: 'it may hold a credential: the worker of this data folder saves it' }];

/** Without a worker a query waits in vain. Milliseconds. */
const ANSWER_MS = 5_000;

/** What its workflow says of things that are no part of a purge. Without a worker it says nothing. */
async function leftElsewhere(task: TaskHandle, folders: LeftoverFolders): Promise<NotPurged[]> {
  const [state, result] = await Promise.all([
    within(ANSWER_MS, task.status()).catch(() => null),
    task.describe().then(
      () => task.result().catch(() => null),
      () => null,
    ),
  ]);
  const left: NotPurged[] = [];
  const seedId = result?.capturedSeedId;
  if (seedId !== undefined)
    left.push({
      what: `seed ${seedId}`,
      why: 'it was captured for reuse: remove it with codex-task seeds purge',
    });
  const isUnsaved = state?.warnings.some((warning) => warning.startsWith('snapshot: ')) === true;
  if (isUnsaved && folders.ownerless.every((path) => !path.includes('/unsaved/')))
    left.push({
      what: `the workdir of task ${task.taskId}`,
      why: `it could not be saved and may lie on host ${state.host}, in unsaved/ of its data folder`,
    });
  if (state !== null)
    left.push({ what: "Temporal's history of it", why: "it is deleted after the namespace's retention" });
  return left;
}

async function ask(plan: PurgePlan, { stdin }: CliIo, output: Output): Promise<void> {
  const isTerminal = 'isTTY' in stdin && stdin.isTTY === true;
  if (output.json || !isTerminal)
    throw new TaskError(
      'BadInput',
      `purge of task ${plan.taskId}: without a terminal it needs --yes, or --dry-run to list what would be removed`,
    );
  output.note(purgeText(plan, 'would go', output.paint));
  output.note('Remove all of this permanently? [y/N]');
  if (/^y(es)?$/i.test((await firstLine(stdin)).trim())) return;
  throw new TaskError('Cancelled', 'Nothing was removed');
}

/** Empty at the end of the input. */
async function firstLine(input: NodeJS.ReadableStream): Promise<string> {
  const lines = createInterface({ input });
  try {
    for await (const line of lines) return line;
    return '';
  } finally {
    lines.close();
  }
}

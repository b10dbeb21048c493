import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TaskHandle } from '../../src/client/index.js';
import { downloadSnapshot } from '../../src/snapshots/download-snapshot.js';
import { findSeedInfo } from '../../src/store/seed-info.js';
import { readSeed } from '../../src/store/seeds.js';
import { findSnapshot } from '../../src/store/snapshots.js';
import { makeFolder } from '../support/folders.js';
import { leftoversAfter } from '../support/leftovers.js';
import { allowedEnds, breaksOf, mayBeFenced, type Suffered } from './allowed-ends.js';
import { answerTo, runLine } from './chaos-model.js';
import type { ChaosStack } from './chaos-stack.js';
import type { Driven } from './drive-task.js';
import type { MessageKind, PlannedTask } from './plan.js';
import {
  agentMessages,
  answeredRequests,
  askedRequests,
  isGiven,
  isSetBack,
  messageIdOf,
  turnsOf,
  type Seen,
} from './seen-events.js';

export interface Audited {
  task: TaskHandle;
  planned: PlannedTask;
  seedId: string;
  /** The credential as it was put in, or as it was written last in codex's place; null: the token server knows. */
  credential: string | null;
  suffered: Suffered;
  driven: Driven;
  /** What its commands left in `runs.txt`. */
  runs: string;
  /** How many requests the model got for each message. */
  requests: readonly number[];
}

type Demand = (holds: boolean, what: string) => void;

/** Looks at an ended task from outside, and says everything that is not as it must be. */
export async function audit(stack: ChaosStack, audited: Audited): Promise<string[]> {
  const wrong: string[] = [];
  const { end } = audited.driven;
  const demand: Demand = (holds, what) => void (holds || wrong.push(`${audited.task.taskId}: ${what}`));
  await auditJournal(audited, demand);
  auditRequests(audited, demand);
  const { fenced } = audited.suffered;
  demand(fenced === 0 || mayBeFenced(audited.suffered), `the guard stopped its codex ${fenced} times`);
  auditMessages(audited, demand);
  if ('failed' in end) {
    const allowed = allowedEnds(audited.suffered);
    demand(allowed.includes(end.failed), `failed with ${end.failed}: ${end.message}`);
  } else await auditResult(stack, audited, demand);
  await auditCredential(stack, audited, demand);
  await auditHost(stack, audited, demand);
  return wrong;
}

async function auditJournal({ task, driven: { events } }: Audited, demand: Demand): Promise<void> {
  const ids = events.map(({ id }) => id);
  demand(
    ids.every((id, i) => id === i + 1),
    `ids are not contiguous: ${ids.join(' ')}`,
  );
  const replayed: Seen[] = [];
  for await (const event of task.events()) replayed.push(event);
  demand(JSON.stringify(replayed) === JSON.stringify(events), 'a replay is not what the live stream was');
  // A host that could not prepare a task has nothing to show of it.
  if ((await task.status()).listener === null)
    return demand(events.length === 0, 'events without a listener');
  const closed = events.filter(({ event }) => event['type'] === 'x-optio-closed');
  demand(closed.length === 1 && events.at(-1) === closed[0], 'x-optio-closed is not the one last event');
}

function auditRequests({ driven: { events, end } }: Audited, demand: Demand): void {
  const [asked, answered] = [askedRequests(events), answeredRequests(events)];
  demand(new Set(asked).size === asked.length, `a request was asked twice: ${asked.join(' ')}`);
  // Where the disk refused the answer's event, the last event answers for it.
  const isUnwritten = 'failed' in end && end.failed === 'HostUnfit';
  demand(
    isUnwritten || (asked.length === answered.length && asked.every((id) => answered.includes(id))),
    `asked ${asked.join(' ')}, answered ${answered.join(' ')}`,
  );
}

/** Requests for a message without a break. Codex may try what is on its disk before it asks for another token. */
const REQUESTS: Record<MessageKind, readonly [least: number, most: number]> = {
  answer: [1, 1],
  stream: [1, 1],
  command: [2, 2],
  refresh: [2, 3],
  limit: [1, 2],
};

/** Each message has its one turn. Of a task that failed, the one that ran then may be broken, and later ones dropped. */
function auditMessages(audited: Audited, demand: Demand): void {
  const { task, planned, driven, suffered } = audited;
  const { events, accepted, end } = driven;
  const isWhole = 'result' in end;
  const answers = agentMessages(events);
  const breaks = breaksOf(suffered);
  const isFullDisk = suffered.all.some(({ fault }) => fault === 'disk-full');
  /** The further attempts at a message. */
  const setBacks = (asked: { taskId: string; message: number }): number[] => {
    let attempt = 0;
    while (isSetBack(events, messageIdOf(asked, attempt))) attempt++;
    return Array.from({ length: attempt }, (_, i) => i + 1);
  };
  const dropped = (events.at(-1)?.event['dropped'] ?? []) as string[];
  for (const [message, kind] of planned.messages.entries()) {
    const asked = { taskId: task.taskId, message, kind };
    const ids = [0, ...setBacks(asked)].map((attempt) => messageIdOf(asked, attempt));
    const turns = ids.flatMap((id) => turnsOf(events, id)).length;
    const isDone = isWhole || turns > 0;
    demand(isWhole ? turns === 1 : turns <= 1, `message ${message} has ${turns} completed turns`);
    if (isDone)
      demand(
        answers.some((text) => text.endsWith(answerTo(asked))),
        `message ${message} has no answer`,
      );
    // The events of the turn that ran when the disk refused one are lost, that of its message with them.
    const isUnwritten =
      'failed' in end && end.failed === 'HostUnfit' && messageIdOf(asked) === accepted.at(-1);
    for (const id of ids)
      demand(
        isDone ||
          isUnwritten ||
          !accepted.includes(id) ||
          isSetBack(events, id) ||
          isGiven(events, id) ||
          dropped.includes(id),
        `message ${id} was accepted, and neither given to codex nor said to be rejected or dropped`,
      );
    demand(ids.length === 1 || isFullDisk, `message ${message} was set back ${ids.length - 1} times`);
    const asks = audited.requests[message] ?? 0;
    const tries = breaks + ids.length;
    const [least, most] = [isDone ? REQUESTS[kind][0] : 0, REQUESTS[kind][1] * tries];
    demand(
      asks >= least && asks <= most,
      `message ${message}: ${asks} requests to the model, expected ${least} to ${most}`,
    );
    if (kind !== 'command') continue;
    const runs = audited.runs.split('\n').filter((line) => line === runLine(message)).length;
    demand(
      // What a command writes may find no room.
      runs >= (isDone && !isFullDisk ? 1 : 0) && runs <= tries,
      `command of message ${message} ran ${runs} times, ${breaks} breaks, ${ids.length} times sent`,
    );
  }
}

async function auditResult(stack: ChaosStack, audited: Audited, demand: Demand): Promise<void> {
  const { driven, planned, seedId } = audited;
  if (!('result' in driven.end)) return;
  const { outcome, turns, capturedSeedId, snapshotId } = driven.end.result;
  const { messages, captures } = planned;
  demand(outcome === 'closed', `outcome ${outcome}`);
  demand(turns === messages.length, `${turns} turns for ${messages.length} messages`);
  demand(capturedSeedId === (captures ? seedId : undefined), `captured seed ${capturedSeedId}`);
  const snapshot = snapshotId === undefined ? null : await findSnapshot(stack.store, snapshotId);
  demand(snapshot !== null, `no snapshot: ${snapshotId}`);
  if (!snapshot) return;
  const folder = await makeFolder();
  try {
    const path = await downloadSnapshot(stack.store, snapshot, join(folder.path, 'whole'));
    const runs = await readFile(join(path, 'work/runs.txt'), 'utf8').catch(() => '');
    demand(runs === audited.runs, `the snapshot has ${JSON.stringify(runs)} in place of what commands wrote`);
  } finally {
    await folder.remove();
  }
}

async function auditCredential(stack: ChaosStack, audited: Audited, demand: Demand): Promise<void> {
  const { driven, planned, seedId, credential, task, suffered } = audited;
  const { end } = driven;
  const seed = await findSeedInfo(stack.store, seedId);
  demand(seed?.leased === false, 'the seed is still leased');
  const stored = (await readSeed(stack.store, seedId))?.authJson ?? Buffer.alloc(0);
  const isDead = seed?.status === 'dead';
  // What the server gave is lost then, and it is said; the task may have failed for another reason first.
  const mayBeDead = 'failed' in end && allowedEnds(suffered).includes('CredentialDead');
  if ('failed' in end && end.failed === 'CredentialDead') demand(isDead, 'the seed is not marked dead');
  else if (mayBeDead && isDead) return;
  else if (credential !== null) demand(stored.toString() === credential, 'the seed is not the last rotation');
  else demand(stack.oauth.isGood(stored), 'the seed is not what the token server gave last');
  if ('result' in end && planned.captures)
    demand(seed?.pool === keptPool(task.taskId), `the captured seed is in pool ${seed?.pool}`);
}

/** The pool that a task's seed is captured for. */
export const keptPool = (taskId: string): string => `${taskId}-kept`;

async function auditHost(stack: ChaosStack, { task, driven }: Audited, demand: Demand): Promise<void> {
  const namesIn = (folder: string) => readdir(join(stack.dataDir, folder)).catch((): string[] => []);
  demand(!(await namesIn('tasks')).includes(task.taskId), 'the folder is still there');
  if ('result' in driven.end)
    demand(
      !(await namesIn('unsaved')).some((name) => name.startsWith(`${task.taskId}-`)),
      'its workdir was put aside as not saved',
    );
  const left = await leftoversAfter([join(stack.dataDir, 'tasks', task.taskId)], GONE_MS);
  demand(left.length === 0, `processes are left: ${left.map(({ command }) => command).join(', ')}`);
}

/** What was told to end at the end of the task may take its time. */
const GONE_MS = 1_000;

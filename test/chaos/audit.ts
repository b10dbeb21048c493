import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TaskHandle } from '../../src/client/index.js';
import { listSeeds, readSeed } from '../../src/store/seeds.js';
import { findLeftovers } from '../support/leftovers.js';
import { answerTo, runLine } from './chaos-model.js';
import type { ChaosStack } from './chaos-stack.js';
import { messageIdOf, turnsOf, type Driven, type Seen } from './drive-task.js';
import type { Fault, MessageKind } from './plan.js';

export interface Audited {
  task: TaskHandle;
  kinds: readonly MessageKind[];
  seedId: string;
  /** The credential as it was put in, or as it was rotated last. */
  credential: string;
  /** What hit the processes of this task, the worker's included. */
  faults: readonly Fault[];
  driven: Driven;
  /** What its commands left in `runs.txt`. */
  runs: string;
  /** How many requests the model got for each message. */
  requests: readonly number[];
}

/** What breaks a turn, which is then done again. */
const TURN_BREAKERS: ReadonlySet<Fault> = new Set(['kill-codex', 'kill-both', 'stop-worker']);

/** Looks at an ended task from outside, and says everything that is not as it must be. */
export async function audit(stack: ChaosStack, audited: Audited): Promise<string[]> {
  const wrong: string[] = [];
  const { task, kinds, driven, seedId, credential, faults } = audited;
  const { events, result } = driven;
  const breaks = faults.filter((fault) => TURN_BREAKERS.has(fault)).length;
  const demand = (holds: boolean, what: string) => void (holds || wrong.push(`${task.taskId}: ${what}`));

  demand(isContiguous(events), `ids are not contiguous: ${events.map(({ id }) => id).join(' ')}`);
  const replayed: Seen[] = [];
  for await (const event of task.events()) replayed.push(event);
  demand(JSON.stringify(replayed) === JSON.stringify(events), 'a replay is not what the live stream was');
  const closed = events.filter(({ event }) => event['type'] === 'x-optio-closed');
  demand(closed.length === 1 && events.at(-1) === closed[0], 'x-optio-closed is not the one last event');

  demand(result.outcome === 'closed', `outcome ${result.outcome}`);
  demand(result.turns === kinds.length, `${result.turns} turns for ${kinds.length} messages`);
  const answers = agentMessages(events);
  for (const [message, kind] of kinds.entries()) {
    const asked = { taskId: task.taskId, message, kind };
    const turns = turnsOf(events, messageIdOf(asked));
    demand(turns.length === 1, `message ${message} has ${turns.length} completed turns`);
    demand(
      answers.some((text) => text.endsWith(answerTo(asked))),
      `message ${message} has no answer`,
    );
    const [needed, asks] = [kind === 'command' ? 2 : 1, audited.requests[message] ?? 0];
    demand(
      asks >= needed && asks <= needed * (1 + breaks),
      `message ${message}: ${asks} requests to the model, needed ${needed}, ${breaks} breaks`,
    );
    if (kind !== 'command') continue;
    const runs = audited.runs.split('\n').filter((line) => line === runLine(message)).length;
    demand(
      runs >= 1 && runs <= 1 + breaks,
      `command of message ${message} ran ${runs} times, ${breaks} breaks`,
    );
  }

  const asked = idsOf(events, ({ method }) => method === 'item/commandExecution/requestApproval', 'id');
  const answered = idsOf(events, ({ type }) => type === 'x-optio-permission-answered', 'request_id');
  demand(new Set(asked).size === asked.length, `a request was asked twice: ${asked.join(' ')}`);
  demand(sameSet(asked, answered), `asked ${asked.join(' ')}, answered ${answered.join(' ')}`);

  const seed = (await listSeeds(stack.store)).find((each) => each.seedId === seedId);
  demand(seed?.leased === false, 'the seed is still leased');
  const stored = (await readSeed(stack.store, seedId))?.authJson?.toString();
  demand(stored === credential, 'the seed is not the last rotation');
  const folders = await readdir(join(stack.dataDir, 'tasks')).catch((): string[] => []);
  demand(!folders.includes(task.taskId), 'the folder is still there');
  const left = await findLeftovers([join(stack.dataDir, 'tasks', task.taskId)]);
  demand(left.length === 0, `processes are left: ${left.map(({ command }) => command).join(', ')}`);
  return wrong;
}

const isContiguous = (events: readonly Seen[]): boolean => events.every(({ id }, i) => id === i + 1);

function idsOf(
  events: readonly Seen[],
  which: (event: Record<string, unknown>) => boolean,
  field: string,
): string[] {
  return events.filter(({ event }) => which(event)).map(({ event }) => String(event[field]));
}

const sameSet = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((value) => b.includes(value));

function agentMessages(events: readonly Seen[]): string[] {
  return events
    .filter(({ event }) => event['method'] === 'item/completed')
    .map(({ event }) => (event['params'] as { item: { type: string; text?: string } }).item)
    .filter(({ type }) => type === 'agentMessage')
    .map(({ text }) => text ?? '');
}

import { expect, it } from 'vitest';
import type { TaskHandle } from '../../src/client/index.js';
import type { NumberedEvent } from '../../src/contract/index.js';
import {
  applyPatch,
  assistantMessage,
  commandCall,
  fail,
  functionCall,
  hold,
  lastUserText,
  outputsOfTurn,
  streamedMessage,
  type ModelAnswer,
} from '../../src/dev/model-server.js';
import { useRealStack } from '../e2e/real-stack.js';
import { askedAnew, inState, openRequest, realTasks } from '../e2e/real-tasks.js';
import { until } from '../support/until.js';
import { saveJournal, type Journal } from './journals.js';

// What is kept of these tasks' streams is what views are tested with: SAVE_JOURNALS=1 records it again.
const stack = useRealStack();
const { start, processOf } = realTasks(() => stack);

/** When an event was made, by whoever made it. Earlier turns of a thread do not say. */
function timeOf({ event }: NumberedEvent): unknown {
  const fields: Record<string, unknown> = { ...event };
  if (fields['x-optio-history']) return 'earlier';
  return fields['at'] ?? fields['x-optio-at'] ?? fields['emittedAtMs'];
}

/** The whole stream of a task from its first event to its end. */
async function journalOf(task: TaskHandle, name: string): Promise<Journal> {
  const journal: NumberedEvent[] = [];
  for await (const event of task.events()) journal.push(event);
  await saveJournal(name, journal);
  expect(journal.filter((told) => told.name === 'unknown' && 'id' in told.event)).toEqual([]);
  expect(journal.filter((told) => timeOf(told) === undefined)).toEqual([]);
  return journal;
}

const idle = async (task: TaskHandle, turns: number) => {
  await until(`${turns} turns`, async () => (await task.status().catch(() => null))?.turns === turns);
  await inState(task, 'idle');
};

/** What the model answers to each message, call by call. */
const plays = (answers: Record<string, ModelAnswer[]>) =>
  stack.play((request) => {
    const calls = answers[lastUserText(request)] ?? [];
    return calls[outputsOfTurn(request).length] ?? [assistantMessage('done')];
  });

const asked = (command: string) => commandCall(command, { escalated: true, justification: 'the test asks' });
const steps = (...statuses: string[]) =>
  functionCall('update_plan', { plan: statuses.map((status, i) => ({ step: `step ${i + 1}`, status })) });

async function decideNext(task: TaskHandle, behavior: 'allow' | 'deny', message?: string): Promise<string> {
  const { requestId } = await openRequest(task);
  await task.decide({ requestId, behavior, message, decidedBy: 'anna' });
  await until(
    'it is gone',
    async () => !(await task.status()).pending.some((each) => each.requestId === requestId),
  );
  return requestId;
}

it('records a task with decisions, file changes, a plan, a failed turn and a resume', async () => {
  plays({
    first: [
      [
        assistantMessage('I look around. '),
        steps('in_progress', 'pending'),
        commandCall('echo inside; exit 3'),
      ],
      [steps('completed', 'in_progress'), asked('echo outside')],
      [asked('echo outside')],
      [applyPatch('*** Begin Patch\n*** Add File: made.txt\n+one\n+two\n*** End Patch')],
      [assistantMessage('I have made a file, and said so in *many* words.')],
    ],
    second: [[assistantMessage('Let me try.'), asked('rm -rf x')], [assistantMessage('Then not.')]],
    third: [[fail(400, { body: { error: { message: 'the model is unwell' } } })]],
    again: [[assistantMessage('I remember.')]],
  });
  const { task } = await start({ prompt: 'first', mode: 'conversation' });
  await decideNext(task, 'allow');
  await idle(task, 1);
  await task.sendMessage('second');
  await decideNext(task, 'deny', 'Use the Makefile');
  await idle(task, 2);
  await task.sendMessage('third');
  await until('its failure', async () => (await task.status()).lastError !== undefined);
  await inState(task, 'idle');
  await task.close();
  const { snapshotId } = await task.result();
  const journal = await journalOf(task, 'asked');
  expect(journal.filter(({ name }) => name === 'turn/completed')).toHaveLength(3);

  const { task: resumed } = await start({ prompt: 'again', resume: { snapshotId: snapshotId! } });
  await resumed.result();
  const history = await journalOf(resumed, 'resumed');
  expect(history.some((told) => 'x-optio-history' in told.event)).toBe(true);
}, 300_000);

it('records a task whose worker is killed and then stopped during a turn', async () => {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  stack.play((request) => {
    const isFirst = outputsOfTurn(request).length === 0;
    if (lastUserText(request) === 'ask') return [isFirst ? asked('echo after') : assistantMessage('asked')];
    async function* pieces() {
      yield* ['I ', 'think ', 'of '];
      await held;
      yield 'you';
    }
    return isFirst ? [streamedMessage(pieces())] : [assistantMessage('thought')];
  });
  const { task } = await start({ prompt: 'think', mode: 'conversation' });
  let seen = '';
  for await (const told of task.events())
    if (told.name === 'item/agentMessage/delta' && (seen += told.event.params.delta).includes('of ')) break;
  const { isBack } = await stack.signalWorker('SIGKILL');
  await isBack();
  release();
  await idle(task, 1);
  await task.sendMessage('ask');
  const lost = await openRequest(task);
  await stack.endWorker('SIGTERM');
  await askedAnew(task, lost);
  await decideNext(task, 'allow');
  await idle(task, 2);
  await task.close();
  await task.result();
  const journal = await journalOf(task, 'worker-killed');
  expect(journal.at(-1)).toMatchObject({ name: 'x-optio-closed' });
}, 300_000);

it('records a task whose Codex crashes in one message and is interrupted in another', async () => {
  let isLost = false;
  stack.play((request) => {
    if (lastUserText(request) === 'lost' && isLost) return [assistantMessage('found')];
    async function* pieces() {
      yield* ['So ', 'it ', 'begins '];
      await new Promise(() => undefined);
    }
    return [streamedMessage(pieces()), hold(new Promise(() => undefined))];
  });
  const { task } = await start({ prompt: 'lost', mode: 'conversation' });
  const begun = async (n: number) => {
    let seen = 0;
    for await (const told of task.events())
      if (told.name === 'item/agentMessage/delta' && told.event.params.delta === 'begins ' && ++seen === n)
        return;
  };
  await begun(1);
  isLost = true;
  process.kill((await processOf(task)).pid, 'SIGKILL');
  await idle(task, 1);
  await task.sendMessage('other');
  await begun(2);
  await task.interrupt();
  await inState(task, 'idle');
  await task.close();
  await task.result();
  const journal = await journalOf(task, 'codex-killed');
  expect(journal.some((told) => 'x-optio-cut' in told.event)).toBe(true);
}, 300_000);

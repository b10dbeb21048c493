import { temporal } from '@temporalio/proto';
import { Worker } from '@temporalio/worker';
import { beforeAll, expect, it } from 'vitest';
import { quietRuntime } from '../support/quiet-runtime.js';
import { workflowBundle } from '../support/built-package.js';
import { SLOTS_OF } from '../../src/activities/slots-of.js';
import * as contract from '../../src/contract/index.js';
import { CODEX_TASK } from '../../src/contract/index.js';
import { VERIFY_POOL, VERIFY_SEED } from '../../src/contract/verification.js';
import { key, workersWith } from './encrypted.js';
import { ENCRYPTED, savedHistories, TEST_FOLDERS } from './histories.js';

// Recorded with SAVE_HISTORIES=1; a change of the workflow that these cannot follow would break running tasks.
const histories = await savedHistories();
/** What the replay of each failed with. */
const failures = new Map<string, Error | undefined>();

beforeAll(async () => {
  quietRuntime();
  // One worker for all, and no thread for each.
  const plain = { workflowBundle: await workflowBundle(), debugMode: true };
  const { workflows } = await workersWith(key('k1'));
  const encrypted = { workflowBundle: workflows!.workflowBundle!, dataConverter: workflows!.dataConverter! };
  for (const [options, isAsked] of [
    [plain, (name: string) => name !== ENCRYPTED],
    [encrypted, (name: string) => name === ENCRYPTED],
  ] as const) {
    const asked = histories.filter(({ name }) => isAsked(name));
    const named = asked.map(({ name, history }) => ({ workflowId: name, history }));
    for await (const { workflowId, error } of Worker.runReplayHistories(options, named))
      failures.set(workflowId, error);
  }
});

/** What the events of all histories name, by the field of the event. */
function named(find: (event: temporal.api.history.v1.IHistoryEvent) => string | null | undefined) {
  const all = histories.flatMap(({ history }) => history.events?.flatMap((event) => find(event) ?? []) ?? []);
  return [...new Set(all)].sort();
}

const contractNames = (type: 'signal' | 'update') =>
  Object.values(contract).flatMap((each) => {
    const defined = each as { type?: unknown; name: string };
    return defined.type === type ? defined.name : [];
  });

it('has a history with each workflow, activity, signal and update', () => {
  const steps = named((event) => event.activityTaskScheduledEventAttributes?.activityType?.name);
  // A run that goes on with what was kept is too large for a file here.
  expect(steps).toEqual(expect.arrayContaining(Object.keys(SLOTS_OF).filter((name) => name !== 'readText')));
  expect(named((event) => event.workflowExecutionSignaledEventAttributes?.signalName)).toEqual(
    expect.arrayContaining(contractNames('signal')),
  );
  expect(
    named((event) => event.workflowExecutionUpdateAcceptedEventAttributes?.acceptedRequest?.input?.name),
  ).toEqual(contractNames('update').sort());
  expect(named((event) => event.workflowExecutionStartedEventAttributes?.workflowType?.name)).toEqual(
    [CODEX_TASK, VERIFY_POOL, VERIFY_SEED].sort(),
  );
});

it('has a history of every path', () => {
  const names = histories.map(({ name }) => name);
  for (const name of [
    ENCRYPTED,
    'child-task',
    'continued-last-run',
    'unread-signals',
    'every-signal',
    'stranded-waiting',
  ])
    expect(names).toContain(name);
  for (const path of [
    'permission-by-http',
    'conversation-closed',
    'cancelled',
    'lease-lost',
    'no-credential',
    'resumed',
    'reset',
    'reset-after-host-lost',
    'host-lost',
    'host-lost-approval',
    'host-moved',
    'host-cut-off',
  ])
    expect(names).toContain(`real-${path}`);
  expect(histories.length).toBeGreaterThan(20);
});

it('has histories with a reset and with a wait for a lost host', () => {
  const { WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW: reset } = temporal.api.enums.v1.WorkflowTaskFailedCause;
  const having = (find: (event: temporal.api.history.v1.IHistoryEvent) => boolean) =>
    histories.filter(({ history }) => history.events?.some(find)).map(({ name }) => name);
  expect(having((event) => event.workflowTaskFailedEventAttributes?.cause === reset)).toEqual(
    expect.arrayContaining(['real-reset', 'real-reset-after-host-lost']),
  );
  expect(
    having((event) => event.activityTaskScheduledEventAttributes?.activityType?.name === 'awaitHost'),
  ).toEqual(
    expect.arrayContaining([
      'real-host-lost',
      'real-host-lost-approval',
      'real-reset-after-host-lost',
      'stranded-waiting',
    ]),
  );
});

it('has no folder of a test in any history', () => {
  const texts = (value: unknown): string[] => {
    if (value instanceof Uint8Array) return [Buffer.from(value).toString('utf8')];
    if (typeof value === 'string') return [value];
    return typeof value === 'object' && value !== null ? Object.values(value).flatMap(texts) : [];
  };
  const having = histories.filter(({ history }) => texts(history).join('\n').search(TEST_FOLDERS) !== -1);
  expect(having.map(({ name }) => name)).toEqual([]);
});

it.each(histories)('replays $name', ({ name }) => {
  expect(failures.has(name)).toBe(true);
  expect(failures.get(name)).toBeUndefined();
});

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import type { TaskRule } from '../../../src/contract/index.js';
import type { GateOptions } from '../../../src/session/conversation/gate-options.js';
import { PermissionGate } from '../../../src/session/conversation/permission-gate.js';
import { openLedger } from '../../../src/task-folder/ledger.js';
import { recallEvents } from '../../../src/session/recall/recall-events.js';
import { taskFolder } from '../../../src/task-folder/task-folder.js';
import { testFolder } from '../../support/folders.js';
import { until } from '../../support/until.js';
import { openJournal } from '../../../src/journal/open-journal.js';

const METHOD = 'item/commandExecution/requestApproval';
const PARAMS = { threadId: 'T', turnId: 'u', itemId: 'i', command: 'ls' };

/** One worker after another takes the task's folder; codex lives on and asks each of them what is open. */
async function taskInFolder() {
  const folder = taskFolder(await testFolder(), 't1');
  await mkdir(folder.journal, { recursive: true });
  const toldWorkflow: string[] = [];
  const answers: unknown[] = [];
  const refusals: ((reason: string) => void)[] = [];
  const told: string[] = [];
  const records: unknown[] = [];
  const worker = async () => {
    const journal = await openJournal(folder.journal);
    const ledger = await openLedger(folder.ledger);
    const close = async () => {
      await journal.close();
      await ledger.close();
    };
    onTestFinished(close);
    const gate = new PermissionGate({
      journal,
      ledger,
      recalled: await recallEvents(journal, ledger, 'T', folder),
      link: {
        permissionRequested({ requestId }: { requestId: string }, onRefused: (reason: string) => void) {
          toldWorkflow.push(requestId);
          refusals.push(onRefused);
        },
        permissionsRecorded: (each: unknown[]) => void records.push(...each),
      } as unknown as GateOptions['link'],
      incarnation: 1,
      rules: [],
      workDir: folder.work,
      changesOf: () => undefined,
      onCut: () => undefined,
      onOpen: () => undefined,
      tell: (_id, text) => Promise.resolve(void told.push(text)),
      answers: { respond: (id, result) => answers.push({ id, result }), respondError: () => undefined },
    });
    const events = async () => {
      await journal.flushed();
      const text = (await journal.read(0, 1e6))?.bytes.toString() ?? '';
      return [...text.matchAll(/data: (.*)/g)].map(([, json]) => JSON.parse(json!) as object);
    };
    return { gate, events, close };
  };
  return { folder, worker, toldWorkflow, answers, refusals, told, records };
}

const ASKED = { method: METHOD, id: '1-7', params: PARAMS };
const ENDED = { type: 'x-optio-permission-answered', request_id: '1-7', behavior: 'allow' };

test('a request is announced once, though its worker died right after writing its event', async () => {
  const { folder, worker, toldWorkflow, answers } = await taskInFolder();
  const first = await worker();
  first.gate.ask(7, METHOD, PARAMS);
  expect(await first.events()).toEqual([{ ...ASKED, 'x-optio-at': expect.any(Number) as number }]);
  await first.close();
  await writeFile(folder.ledger, '');
  const second = await worker();
  second.gate.ask(7, METHOD, PARAMS);
  await second.gate.decide({ requestId: '1-7', behavior: 'allow' });
  expect(await second.events()).toMatchObject([ASKED, ENDED]);
  expect(toldWorkflow).toEqual(['1-7', '1-7']);
  expect(answers).toEqual([{ id: 7, result: { decision: 'accept' } }]);
  await second.close();
  // Codex did not get the answer.
  const third = await worker();
  third.gate.ask(7, METHOD, PARAMS);
  expect(await third.events()).toHaveLength(2);
  expect(answers).toHaveLength(2);
});

test('a request whose event was not written is announced by the next worker', async () => {
  const { folder, worker, answers } = await taskInFolder();
  // As a worker leaves it that is killed between the two: the decision of its rule is there, the events are not.
  const decision = { requestId: '1-7', behavior: 'allow', decidedBy: 'rule' };
  await writeFile(folder.ledger, `${JSON.stringify({ t: 'answered', decision })}\n`);
  const next = await worker();
  next.gate.ask(7, METHOD, PARAMS);
  expect(await next.events()).toMatchObject([ASKED, { ...ENDED, decidedBy: 'rule' }]);
  expect(answers).toEqual([{ id: 7, result: { decision: 'accept' } }]);
});

test('only one of two opposite concurrent decisions is recorded for later workers', async () => {
  const { folder, worker, answers } = await taskInFolder();
  const { gate } = await worker();
  gate.ask(7, METHOD, PARAMS);
  const decide = (behavior: 'allow' | 'deny') => gate.decide({ requestId: '1-7', behavior });
  await Promise.all([decide('deny'), decide('allow')]);
  expect(answers).toEqual([{ id: 7, result: { decision: 'decline' } }]);
  expect((await readFile(folder.ledger, 'utf8')).match(/"answered"/g)).toHaveLength(1);
});

test('a request that Temporal refuses is denied, and the model is told why', async () => {
  const { worker, answers, refusals, told } = await taskInFolder();
  const { gate, events } = await worker();
  gate.ask(7, METHOD, PARAMS);
  // Somebody's decision is under way to a task that does not know the request.
  gate.claim('1-7');
  refusals[0]!('too large');
  await until('the answer', () => answers.length > 0);
  expect(answers).toEqual([{ id: 7, result: { decision: 'decline' } }]);
  expect(told).toEqual(['Nobody could be asked: too large']);
  expect(await events()).toMatchObject([
    ASKED,
    { ...ENDED, behavior: 'deny', decidedBy: 'refused-by-temporal' },
  ]);
  expect(gate.size).toBe(0);
});

const ALLOW_LS: TaskRule = { ruleId: 'a', rule: { commandPrefix: ['ls'], then: 'allow' } };
const DENY_ALL: TaskRule = { ruleId: 'b', rule: { kind: 'command', then: 'deny' } };

test('decides an open request by a rule that the task is given meanwhile, and tells the workflow', async () => {
  const { worker, toldWorkflow, answers, records } = await taskInFolder();
  const { gate, events } = await worker();
  gate.ask(7, METHOD, PARAMS);
  gate.ask(8, METHOD, { ...PARAMS, command: 'rm x' });
  await gate.setRules({ revision: 5, rules: [ALLOW_LS] });
  await until('the answer', () => answers.length > 0);
  expect(answers).toEqual([{ id: 7, result: { decision: 'accept' } }]);
  expect(toldWorkflow).toEqual(['1-7', '1-8']);
  await until('the record', () => records.length > 0);
  expect(records).toEqual([
    expect.objectContaining({ requestId: '1-7', behavior: 'allow', decidedBy: 'rule' }),
  ]);
  expect((await events()).at(-1)).toMatchObject({ ...ENDED, decidedBy: 'rule' });
  expect(gate.size).toBe(1);
});

test('leaves a request that somebody is deciding to that decision', async () => {
  const { worker, answers } = await taskInFolder();
  const { gate } = await worker();
  gate.ask(7, METHOD, PARAMS);
  gate.claim('1-7');
  await gate.setRules({ revision: 5, rules: [ALLOW_LS] });
  await gate.decide({ requestId: '1-7', behavior: 'deny' });
  expect(answers).toEqual([{ id: 7, result: { decision: 'decline' } }]);
});

test('decides by its rules a request whose decision did not become durable', async () => {
  const { worker, answers } = await taskInFolder();
  const { gate } = await worker();
  gate.ask(7, METHOD, PARAMS);
  gate.claim('1-7');
  await gate.setRules({ revision: 5, rules: [ALLOW_LS] });
  gate.unclaim('1-7');
  await until('the answer', () => answers.length > 0);
  expect(answers).toEqual([{ id: 7, result: { decision: 'accept' } }]);
});

test('has the newest rules under the next worker, after those of the input, and takes no older ones', async () => {
  const { worker, toldWorkflow, answers } = await taskInFolder();
  const first = await worker();
  await first.gate.setRules({ revision: 5, rules: [ALLOW_LS, DENY_ALL] });
  await first.gate.setRules({ revision: 4, rules: [] });
  await first.close();
  const { gate } = await worker();
  gate.ask(7, METHOD, PARAMS);
  gate.ask(8, METHOD, { ...PARAMS, command: 'rm x' });
  await until('both answers', () => answers.length === 2);
  expect(answers).toEqual([
    { id: 7, result: { decision: 'accept' } },
    { id: 8, result: { decision: 'decline' } },
  ]);
  expect(toldWorkflow).toEqual([]);
});

import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { recallMore } from '../../../src/session/recall/recall-events.js';
import type { LedgerRecord } from '../../../src/task-folder/ledger.js';
import { scriptedCodex, type ScriptedCodex } from '../../fakes/codex-calls.js';
import type { SessionEvent } from '../../fakes/memory-journal.js';
import { testFolder } from '../../support/folders.js';
import { until } from '../../support/until.js';

const schemaOf = (name: string) => ({
  type: 'object',
  properties: { [name]: { type: 'integer' } },
  required: [name],
  additionalProperties: false,
});
const outputSchema = schemaOf('a');
type Options = NonNullable<Parameters<typeof scriptedCodex>[0]>;

const begun = async (options: Options = {}): Promise<ScriptedCodex> => {
  const codex = await scriptedCodex({ mode: 'task', outputSchema, ...options });
  codex.thread.turns.begin();
  return codex;
};
const send = ({ thread }: ScriptedCodex, messageId: string, more: object = {}) =>
  thread.accept({ messageId, text: `text of ${messageId}`, ...more });

/** The `nth` turn, with what codex says in it. */
async function turn(codex: ScriptedCodex, nth: number, ...texts: string[]): Promise<void> {
  const id = `t${nth}`;
  const { params } = await codex.called('turn/start', nth);
  await codex.begin(id, nth);
  codex.item('completed', id, {
    id: `u${nth}`,
    type: 'userMessage',
    clientId: params['clientUserMessageId'],
    content: [],
  });
  texts.forEach((text, i) => codex.item('completed', id, { id: `m${nth}.${i}`, type: 'agentMessage', text }));
  codex.complete(id);
}
const refused = ({ events }: ScriptedCodex) => events.filter(({ type }) => type === 'x-optio-output-refused');

test('each turn is asked with the schema, and the last message of the last one is the output', async () => {
  const codex = await begun();
  await send(codex, 'a');
  await turn(codex, 1, 'I look at it', '{"a":1}', '{"a":2}');
  expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'completed' });
  expect(codex.calls[0]!.params).toMatchObject({ outputSchema });
  expect(codex.thread.totals.output).toEqual({ value: { a: 2 } });
  expect(refused(codex)).toEqual([]);
});

test('a message’s own schema is that of its turn alone', async () => {
  const codex = await begun({ mode: 'conversation' });
  await send(codex, 'a', { outputSchema: schemaOf('b') });
  await send(codex, 'b');
  await turn(codex, 1, '{"b":1}');
  await turn(codex, 2, '{"a":1}');
  await until('the end', () => !codex.thread.report().activity.startsWith('run'));
  const starts = codex.calls.filter(({ method }) => method === 'turn/start');
  expect(starts.map(({ params }) => params['outputSchema'])).toEqual([schemaOf('b'), outputSchema]);
  expect([codex.thread.totals.output, refused(codex)]).toEqual([{ value: { a: 1 } }, []]);
});

test('an answer that does not fit is told, and corrected in a turn before the messages that wait', async () => {
  const codex = await begun();
  await send(codex, 'a');
  await send(codex, 'b');
  await turn(codex, 1, 'It is 1');
  const { params } = await codex.called('turn/start', 2);
  expect(params).toMatchObject({ clientUserMessageId: 'x-optio-output-1-t1', outputSchema });
  expect(params['input']).toEqual([
    { type: 'text', text: expect.stringMatching(/schema.*\n- it is no JSON/) as string },
  ]);
  await turn(codex, 2, '{"a":1}');
  await turn(codex, 3, '{"a":3}');
  expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'completed' });
  expect(codex.thread.totals.output).toEqual({ value: { a: 3 } });
  expect(refused(codex)).toMatchObject([
    {
      turnId: 't1',
      attempt: 1,
      willRetry: true,
      faults: ['it is no JSON'],
      at: expect.any(Number) as number,
    },
  ]);
});

test.each([
  [0, 1],
  [1, 2],
  [3, 4],
])(
  'after %s corrections an answer that does not fit fails the task with its text',
  async (outputRetries, turns) => {
    const codex = await begun({ outputRetries });
    await send(codex, 'a');
    for (let nth = 1; nth <= turns; nth++) await turn(codex, nth, `{"a":"${nth}"}`);
    expect(await codex.thread.turns.whenEnded()).toEqual({
      kind: 'failed',
      code: 'BadOutput',
      message: 'The answer does not fit its outputSchema: /a must be integer',
      details: { text: `{"a":"${turns}"}`, faults: ['/a must be integer'] },
    });
    expect(refused(codex).map(({ attempt, willRetry }) => [attempt, willRetry])).toEqual(
      Array.from({ length: turns }, (_, i) => [i + 1, i + 1 < turns]),
    );
    expect(codex.thread.totals.output).toBeUndefined();
  },
);

test('a session in conversation mode reports an answer that does not fit, and takes messages', async () => {
  const codex = await begun({ mode: 'conversation', outputRetries: 0 });
  await send(codex, 'a');
  await turn(codex, 1, '{}');
  await until('its error', () => codex.reports.some(({ lastError }) => lastError?.includes('does not fit')));
  await send(codex, 'b');
  await turn(codex, 2, '{"a":2}');
  await until('the output', () => codex.thread.totals.output);
  codex.thread.turns.close();
  expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'closed' });
  expect(codex.thread.totals.output).toEqual({ value: { a: 2 } });
});

test('an agent that says it is done ends no task whose answer does not fit', async () => {
  const codex = await begun({ mode: 'conversation', outputRetries: 0 });
  await send(codex, 'a');
  await codex.called('turn/start');
  codex.thread.turns.conclude({ kind: 'completed' });
  await turn(codex, 1, 'done');
  expect(await codex.thread.turns.whenEnded()).toMatchObject({ kind: 'failed', code: 'BadOutput' });
});

test('a turn that was interrupted or failed has no answer to compare', async () => {
  for (const status of ['interrupted', 'failed']) {
    const codex = await begun();
    await send(codex, 'a');
    await codex.begin('t1');
    codex.item('completed', 't1', { id: 'm', type: 'agentMessage', text: 'no JSON' });
    codex.complete('t1', status);
    await codex.thread.turns.whenEnded();
    expect([status, refused(codex)]).toEqual([status, []]);
  }
});

test('a task that is closed is asked for no other answer', async () => {
  const codex = await begun();
  await send(codex, 'a');
  await codex.begin('t1');
  codex.item('completed', 't1', { id: 'm', type: 'agentMessage', text: 'no JSON' });
  codex.thread.turns.close();
  codex.complete('t1');
  (await codex.called('turn/interrupt')).resolve({});
  (await codex.called('thread/backgroundTerminals/clean')).resolve({});
  expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'closed' });
  expect(codex.calls.filter(({ method }) => method === 'turn/start')).toHaveLength(1);
});

test('a message with a schema of its own joins only a turn that has the same', async () => {
  const codex = await begun({ mode: 'conversation' });
  await send(codex, 'a');
  await codex.begin('t1');
  await send(codex, 'later');
  await send(codex, 'other', { steer: true, outputSchema: schemaOf('b') });
  await send(codex, 'same', { steer: true, outputSchema: schemaOf('a') });
  await send(codex, 'none', { steer: true });
  (await codex.called('turn/steer', 1)).resolve({});
  (await codex.called('turn/steer', 2)).resolve({});
  codex.item('completed', 't1', { id: 'm', type: 'agentMessage', text: '{"a":1}' });
  codex.complete('t1');
  const steered = codex.calls.filter(({ method }) => method === 'turn/steer');
  expect(steered.map(({ params }) => params['clientUserMessageId'])).toEqual(['same', 'none']);
  const { params } = await codex.called('turn/start', 2);
  expect(params).toMatchObject({ clientUserMessageId: 'other', outputSchema: schemaOf('b') });
});

test('a message with a pattern that is none is refused', async () => {
  const codex = await begun();
  const broken = { ...outputSchema, properties: { a: { type: 'string', pattern: '(' } } };
  await expect(send(codex, 'a', { outputSchema: broken })).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringContaining('outputSchema.properties.a.pattern') as string,
  });
});

/** What a worker that comes after one with these events knows. */
async function recalledFrom(events: readonly SessionEvent[]) {
  const frames = events.map((event, i) => `id: ${i + 1}\ndata: ${JSON.stringify(event)}\n\n`).join('');
  const read = (after: number) =>
    Promise.resolve(after > 0 ? null : { bytes: Buffer.from(frames), lastId: events.length });
  return recallMore({ read } as unknown as Parameters<typeof recallMore>[0], 'thread');
}

/** The worker dies at the first record or event that `dies`: of what it does then nothing is left. */
async function nextWorker(
  dies: (step: { event?: SessionEvent; record?: LedgerRecord }) => boolean,
  own: object,
) {
  const ledgerPath = join(await testFolder(), 'ledger');
  const codex = await begun({ ledgerPath });
  const kept: SessionEvent[] = [];
  let isDead = false;
  const write = codex.ledger.write.bind(codex.ledger);
  vi.spyOn(codex.ledger, 'write').mockImplementation((record) => {
    isDead ||= dies({ record });
    return isDead ? new Promise<void>(() => undefined) : write(record);
  });
  const append = codex.journal.append.bind(codex.journal);
  vi.spyOn(codex.journal, 'append').mockImplementation((event) => {
    const parsed = (typeof event === 'string' ? JSON.parse(event) : event) as SessionEvent;
    isDead ||= dies({ event: parsed });
    if (!isDead) kept.push(parsed);
    return append(event);
  });
  await send(codex, 'a', own);
  await turn(codex, 1, 'no JSON');
  await until('its death', () => isDead);
  await codex.ledger.close();
  return { codex: await begun({ ledgerPath, recalled: await recalledFrom(kept) }), kept };
}

test.each<[string, (step: { event?: SessionEvent; record?: LedgerRecord }) => boolean, number]>([
  ['before it told of it', ({ event }) => event?.type === 'x-optio-output-refused', 1],
  [
    'before the correction was written down',
    ({ record }) => record?.t === 'message' && record.message.messageId !== 'a',
    0,
  ],
  ['before the correction was sent', ({ record }) => record?.t === 'turn' && record.messageId !== 'a', 0],
])('a worker that died %s is followed by one that asks once, with the same schema', async (_, dies, told) => {
  const own = schemaOf('own');
  const { codex, kept } = await nextWorker(dies, { outputSchema: own });
  const { params } = await codex.called('turn/start');
  expect(params).toMatchObject({ clientUserMessageId: 'x-optio-output-1-t1', outputSchema: own });
  await codex.begin('t2');
  codex.item('completed', 't2', { id: 'm', type: 'agentMessage', text: '{"own":1}' });
  codex.item('completed', 't2', {
    id: 'u',
    type: 'userMessage',
    clientId: 'x-optio-output-1-t1',
    content: [],
  });
  codex.complete('t2');
  expect(await codex.thread.turns.whenEnded()).toEqual({ kind: 'completed' });
  expect(codex.thread.totals.output).toEqual({ value: { own: 1 } });
  expect(refused(codex)).toHaveLength(told);
  expect(kept.filter(({ type }) => type === 'x-optio-output-refused')).toHaveLength(1 - told);
  expect(codex.calls.filter(({ method }) => method === 'turn/start')).toHaveLength(1);
});

test('a worker that comes after the last answer compares it again', async () => {
  for (const [text, end] of [
    ['{"a":1}', { kind: 'completed' }],
    ['{"a":"1"}', { kind: 'failed', code: 'BadOutput' }],
  ] as const) {
    const ledgerPath = join(await testFolder(), 'ledger');
    const first = await begun({ ledgerPath, outputRetries: 0 });
    await send(first, 'a');
    await turn(first, 1, text);
    await first.thread.turns.whenEnded();
    await first.ledger.close();
    const recalled = await recalledFrom(first.events);
    const next = await begun({ ledgerPath, outputRetries: 0, recalled });
    expect(await next.thread.turns.whenEnded()).toMatchObject(end);
    expect([next.events, next.thread.totals.output]).toEqual([[], first.thread.totals.output]);
  }
});

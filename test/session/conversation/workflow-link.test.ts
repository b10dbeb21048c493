import { pino } from 'pino';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { PermissionRecord, SessionReport } from '../../../src/contract/index.js';
import { TaskError } from '../../../src/errors.js';
import { openWorkflowLink, type SendSignal } from '../../../src/session/conversation/workflow-link.js';
import { until } from '../../support/until.js';

const record = (n: number): PermissionRecord => ({
  requestId: `1-${n}`,
  kind: 'command',
  summary: 'ls',
  behavior: 'allow',
  decidedBy: 'rule',
});

function open(send: SendSignal) {
  const onGone = vi.fn();
  const link = openWorkflowLink(send, pino({ enabled: false }), onGone);
  onTestFinished(() => link.close());
  return { link, onGone };
}

const unrefused = (reason: string) => {
  throw new Error(reason);
};

function collecting() {
  const sent: [string, unknown][] = [];
  return {
    sent,
    ...open((name, argument) => Promise.resolve((sent.push([name, argument]), 'sent' as const))),
  };
}

test('records are sent in batches of 100, the rest within a second', async () => {
  const { link, sent } = collecting();
  const begun = performance.now();
  for (let n = 0; n < 250; n++) link.permissionsRecorded([record(n)]);
  await until('three signals', () => sent.length === 3);
  expect(performance.now() - begun).toBeGreaterThan(900);
  expect(sent.map(([name, records]) => [name, (records as unknown[]).length])).toEqual([
    ['permissionsRecorded', 100],
    ['permissionsRecorded', 100],
    ['permissionsRecorded', 50],
  ]);
  expect(sent.flatMap(([, records]) => records)).toEqual(Array.from({ length: 250 }, (_, n) => record(n)));
});

test('a flush sends everything at once', async () => {
  const { link, sent } = collecting();
  link.permissionsRecorded([record(1)]);
  expect(sent).toEqual([]);
  link.flush();
  await until('the signal', () => sent.length === 1);
});

test('a signal is sent until it arrives, and the next one only after that', async () => {
  const tries: string[] = [];
  const { link } = open((_name, argument) => {
    const { reason } = argument as { reason: string };
    tries.push(reason);
    return tries.length < 3 ? Promise.reject(new Error('unreachable')) : Promise.resolve('sent');
  });
  link.permissionSettled({ requestId: '1-0', reason: 'first' });
  link.permissionSettled({ requestId: '1-1', reason: 'second' });
  await until('all', () => tries.length === 4);
  expect(tries).toEqual(['first', 'first', 'first', 'second']);
});

test('only the newest report waits', async () => {
  let release = () => {};
  const gate = new Promise<'sent'>((resolve) => (release = () => resolve('sent')));
  const turns: number[] = [];
  const { link } = open((_name, report) => {
    turns.push((report as SessionReport).turns);
    return turns.length === 1 ? gate : Promise.resolve('sent');
  });
  for (const n of [1, 2, 3]) link.sessionChanged({ turns: n } as SessionReport);
  release();
  await until('the newest', () => turns.length === 2);
  expect(turns).toEqual([1, 3]);
});

test('a missing workflow is reported once, and nothing more is sent', async () => {
  const send = vi.fn<SendSignal>(() => Promise.resolve('workflow-gone'));
  const { link, onGone } = open(send);
  link.permissionSettled({ requestId: '1-0', reason: 'x' });
  await until('the news', () => onGone.mock.calls.length === 1);
  expect(send).toHaveBeenCalledTimes(1);
});

test('a request is reported as taken once Temporal has it, at once if it already does', async () => {
  let isAway = true;
  const sent: string[] = [];
  const { link } = open((name) => {
    if (isAway) return Promise.reject(new Error('away'));
    sent.push(name);
    return Promise.resolve('sent');
  });
  await link.told('unknown');
  const request = { requestId: '1-0', kind: 'command', summary: 'ls', input: {}, openedAt: '' } as const;
  link.permissionRequested(request, unrefused);
  const told = [1, 2].map(() => link.told('1-0').then(() => sent.length));
  isAway = false;
  expect(await Promise.all(told)).toEqual([1, 1]);
  await link.told('1-0');
});

test('a request that Temporal never got is not reported as taken', async () => {
  const { link } = open(() => Promise.reject(new Error('away')));
  link.permissionRequested(
    { requestId: '1-0', kind: 'command', summary: 'ls', input: {}, openedAt: '' },
    unrefused,
  );
  const told = expect(link.told('1-0')).rejects.toThrow(/does not have request 1-0/);
  link.close();
  await told;
});

test('a signal that Temporal rejects is reported to its sender and holds up no other', async () => {
  const refused: string[] = [];
  const sent: string[] = [];
  const { link, onGone } = open((name) => {
    if (name === 'hookRequested') return Promise.reject(new TaskError('BadInput', 'too large'));
    sent.push(name);
    return Promise.resolve('sent');
  });
  link.hookRequested({ id: 'e', kind: 'upload', path: 'a', bytes: 1 }, (reason) => refused.push(reason));
  link.hostRestarted({ hostId: 'h1' });
  await until('the next', () => sent.length > 0);
  expect(sent).toEqual(['hostRestarted']);
  expect(refused).toEqual(['too large']);
  expect(onGone).not.toHaveBeenCalled();
});

/** Of a workflow that takes nothing of which `isRefused`. */
function refusing(isRefused: (name: string, argument: unknown) => boolean) {
  const sent: [string, SessionReport][] = [];
  const tries: string[] = [];
  const { link } = open((name, argument) => {
    tries.push(name);
    if (isRefused(name, argument)) return Promise.reject(new TaskError('BadInput', 'not taken'));
    sent.push([name, argument as SessionReport]);
    return Promise.resolve('sent');
  });
  return { link, sent, tries };
}
const REPORT: SessionReport = {
  assignmentId: 's',
  revision: 7,
  activity: 'idle',
  threadId: 't',
  model: null,
  turns: 1,
  usage: {} as SessionReport['usage'],
};

test('a rejection by Temporal becomes a warning at once or with the first report', async () => {
  const { link, sent, tries } = refusing((name) => name === 'hookRequested');
  link.hookRequested({ id: 'e1', kind: 'upload', path: 'a', bytes: 1 }, () => undefined);
  await until('the refusal', () => tries.length === 1);
  link.sessionChanged({ ...REPORT, warning: 'disk' });
  await until('the report', () => sent.length === 1);
  link.hookRequested({ id: 'e2', kind: 'upload', path: 'a', bytes: 1 }, () => undefined);
  await until('the other', () => sent.length === 2);
  const said = sent.map(([, { revision, warning, warnings }]) => ({ revision, warning, warnings }));
  expect(said).toEqual([
    {
      revision: 7,
      warning: undefined,
      warnings: [
        'disk',
        'The signal hookRequested e1 did not reach the task, and was answered so: not taken',
      ],
    },
    {
      revision: 7,
      warning: undefined,
      warnings: ['The signal hookRequested e2 did not reach the task, and was answered so: not taken'],
    },
  ]);
});

test('a rejected report is replaced by a bare one, and the link ends if that is too', async () => {
  const { link, sent, tries } = refusing(
    (_name, argument) => (argument as SessionReport).lastError === 'bad',
  );
  link.sessionChanged({ ...REPORT, lastError: 'bad' });
  await until('the bare one', () => sent.length === 1);
  const warnings = ['The signal sessionChanged did not reach the task: not taken'];
  expect(sent).toEqual([['sessionChanged', { ...REPORT, warnings }]]);
  expect(tries).toHaveLength(2);

  const all = refusing(() => true);
  all.link.sessionChanged(REPORT);
  all.link.permissionSettled({ requestId: '1-0', reason: 'x' });
  await until('all tries', () => all.tries.length >= 3);
  await new Promise((resolve) => setImmediate(resolve));
  expect(all.tries.length).toBeLessThan(6);
});

test('a report that replaces waiting ones has their warnings', async () => {
  let release = () => {};
  const gate = new Promise<'sent'>((resolve) => (release = () => resolve('sent')));
  const sent: SessionReport[] = [];
  const { link } = open(
    (_name, report) => (
      sent.push(report as SessionReport),
      sent.length === 1 ? gate : Promise.resolve('sent')
    ),
  );
  link.sessionChanged(REPORT);
  link.sessionChanged({ ...REPORT, revision: 8, warning: 'first' });
  link.sessionChanged({ ...REPORT, revision: 9, warnings: ['second'] });
  link.sessionChanged({ ...REPORT, revision: 10, warning: 'third' });
  release();
  await until('both', () => sent.length === 2);
  expect(sent[1]).toMatchObject({ revision: 10, warnings: ['first', 'second', 'third'] });
});

test('a report that Temporal rejects after the link is closed ends it without harm', async () => {
  let refuse: (error: Error) => void = () => undefined;
  const send = vi.fn(() => new Promise<'sent'>((_, reject) => (refuse = reject)));
  const { link } = open(send);
  link.sessionChanged({ ...REPORT, revision: 1 });
  link.close();
  refuse(new TaskError('BadInput', 'too large'));
  await new Promise((resolve) => setImmediate(resolve));
  expect(send).toHaveBeenCalledTimes(1);
});

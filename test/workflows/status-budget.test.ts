import { describe, expect, it } from 'vitest';
import { BUDGETS } from '../../src/budgets/budgets.js';
import { boundReport } from '../../src/budgets/bound-report.js';
import { boundRequests } from '../../src/budgets/bound-request.js';
import { NO_USAGE, type PermissionRequest, type TaskStatus } from '../../src/contract/index.js';
import { openRequests } from '../../src/workflows/open-requests.js';
import {
  boundStatus,
  changed,
  STATUS_BUDGETS,
  withNewWarnings,
  withWarnings,
} from '../../src/workflows/status-budget.js';
import { RUNNING } from './running-status.js';

const encoded = (value: unknown) => Buffer.byteLength(JSON.stringify(value));
const CHARS = { ascii: 'x', cjk: '漢', emoji: '😀', control: '\u0001' };
const chars = Object.entries(CHARS);

const request = (requestId: string, command: string): PermissionRequest => ({
  requestId,
  kind: 'command',
  summary: `Run ${command}`,
  input: { command },
  openedAt: '2026-01-01T00:00:00.000Z',
});

describe('the answer of `state`', () => {
  it('has a budget for each of its fields, and all together fit', () => {
    const sum = Object.entries(STATUS_BUDGETS).reduce(
      (all, [name, bytes]) => all + name.length + 4 + bytes,
      2,
    );
    expect(sum).toBeLessThanOrEqual(BUDGETS.state);
  });

  it.each(chars)('fits with every text at its largest: %s', (_, char) => {
    const long = char.repeat(300_000);
    const status: TaskStatus = {
      ...RUNNING,
      taskId: char.repeat(300),
      pending: Array.from({ length: 200 }, (_, i) => request(`r${i}`, char.repeat(3_000))),
      controls: [
        {
          id: 'model',
          kind: 'select',
          label: 'Model',
          category: 'model',
          value: 'm',
          disabled: false,
          options: Array.from({ length: 2_000 }, (_, i) => ({
            value: `m${i}`,
            label: long.slice(0, 400),
            disabled: false,
          })),
        },
      ],
      ui: { a: char.repeat(Math.floor((BUDGETS.ui - 16) / encoded(char.repeat(10))) * 10) },
      waitingFor: long,
      lastError: long,
    };
    for (let i = 0; i < 40; i++) status.warnings = withWarnings(status.warnings, [`${i} ${long}`]);
    const answer = boundStatus(status);
    expect(encoded(answer)).toBeLessThanOrEqual(BUDGETS.state);
    expect(answer).toMatchObject({ state: 'running', taskId: status.taskId, usage: NO_USAGE, turns: 2 });
    expect(answer.ui).toEqual(status.ui);
    expect(answer.warnings).toHaveLength(20);
    expect(answer.pending[0]).toMatchObject({ requestId: 'r0', truncated: true });
    expect(answer.controls[0]?.value).toBe('m');
  });

  it('is unchanged while it is small', () => {
    expect(boundStatus(RUNNING)).toBe(RUNNING);
  });
});

describe('warnings', () => {
  it.each(chars)('are the newest twenty, at most 2 KiB each: %s', (_, char) => {
    let warnings: string[] = [];
    for (let i = 0; i < 30; i++) warnings = withWarnings(warnings, [`${i} ${char.repeat(100_000)}`]);
    expect(warnings).toHaveLength(20);
    expect(warnings.at(-1)?.startsWith('29 ')).toBe(true);
    for (const warning of warnings) expect(encoded(warning) - 2).toBeLessThanOrEqual(2_048);
  });

  it('of the host count once', () => {
    const once = withNewWarnings([], ['a', 'x'.repeat(9_000)]);
    const again = withNewWarnings(once, ['a', 'x'.repeat(9_000), 'b']);
    expect(again).toEqual(['a', expect.stringMatching(/^x+…$/), 'b']);
  });
});

it('removes from the status the fields that a change gives without a value', () => {
  const parked = changed(RUNNING, { state: 'parked', parkedUntil: 'later' });
  expect(parked).toEqual({ ...RUNNING, state: 'parked', parkedUntil: 'later' });
  expect(Object.keys(changed(parked, { parkedUntil: undefined }))).not.toContain('parkedUntil');
});

it.each(chars)('keeps a report within its limits: %s', (_, char) => {
  const long = char.repeat(300_000);
  const report = boundReport({
    revision: 1,
    activity: 'idle',
    threadId: long,
    model: long,
    turns: 1,
    usage: NO_USAGE,
    lastError: long,
    progress: { percent: 1, text: long },
    quarantineId: long,
  });
  expect(encoded(report)).toBeLessThan(16_384);
});

describe('open requests', () => {
  it.each(chars)('stay within their budget, and cut the largest inputs first: %s', (_, char) => {
    const open = openRequests([]);
    const taken = Array.from({ length: 600 }, (_, i) =>
      open.add(request(`r${i}`, i % 10 === 1 ? 'ls' : char.repeat(9_000))),
    );
    expect(encoded([...open.byId.values()])).toBeLessThanOrEqual(BUDGETS.openRequests);
    expect(open.byId.size).toBe(taken.filter(Boolean).length);
    expect(open.byId.size).toBeGreaterThan(60);
    expect(open.byId.get('r1')).toEqual(request('r1', 'ls'));
    expect(open.byId.get('r0')).toMatchObject({ truncated: true });
    expect(open.byId.has('r599')).toBe(false);
  });

  it('are complete while there is room', () => {
    const open = openRequests([]);
    for (let i = 0; i < 3; i++) expect(open.add(request(`r${i}`, 'x'.repeat(3_000)))).toBe(true);
    expect([...open.byId.values()]).toEqual([0, 1, 2].map((i) => request(`r${i}`, 'x'.repeat(3_000))));
    open.delete('r0');
    expect([...open.byId.keys()]).toEqual(['r1', 'r2']);
  });

  it('are the oldest ones when not even all their ids fit', () => {
    const many = Array.from({ length: 100 }, (_, i) => request(`r${i}`, 'ls'));
    const bounded = boundRequests(many, 2_000);
    expect(encoded(bounded)).toBeLessThanOrEqual(2_000);
    expect(bounded[0]?.requestId).toBe('r0');
    expect(bounded.length).toBeGreaterThan(5);
  });
});

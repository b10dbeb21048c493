import { expect, test } from 'vitest';
import { segmentOf, taskIdIn } from '../../src/listener/task-segment.js';
import { isTaskId } from '../../src/input/parse-task-input.js';
import { taskPassword } from '../../src/listener-secret.js';
import { taskFolder } from '../../src/task-folder/task-folder.js';

/** Ids that people and Temporal's own features make. */
const IDS = [
  'fix-42',
  'nightly-2026-11-30T09:43:02Z',
  'ticket/123',
  'repo:branch',
  'a b',
  ' a',
  'a ',
  '.',
  '..',
  '...',
  '/',
  '//',
  '../..',
  '%2F',
  '%',
  '%00',
  'a?b#c',
  'a\\b',
  'trailing.',
  'Twin',
  'twin',
  'café',
  'cafe\u0301',
  '夜間',
  '🌙',
  '-option',
  '_underscore',
  "it's $(id)",
  '__proto__',
  'constructor',
  'x'.repeat(128),
  'x'.repeat(129),
  'x'.repeat(1_000),
  '夜'.repeat(333),
];

test.each(IDS)('%j is a task id with a URL that leads back to it', (taskId) => {
  expect(isTaskId(taskId)).toBe(true);
  const url = new URL(`http://127.0.0.1/tasks/${segmentOf(taskId)}/events`);
  const [, tasks, segment, route, ...more] = url.pathname.split('/');
  expect([tasks, taskIdIn(segment!), route, more]).toEqual(['tasks', taskId, 'events', []]);
});

test('no two ids share a URL, a folder or a password', () => {
  const folders = IDS.map((id) => taskFolder('/data', id).root);
  for (const texts of [IDS.map(segmentOf), folders, IDS.map((id) => taskPassword('s'.repeat(32), id))])
    expect(new Set(texts).size).toBe(IDS.length);
  for (const folder of folders) expect(folder).toMatch(/^\/data\/tasks\/[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/);
});

test.each([
  undefined,
  null,
  7,
  '',
  'operator',
  'a\nb',
  'a\u0000',
  'a\u007f',
  'a\u0085',
  '\u001f..',
  'half \ud83c',
  'x'.repeat(1_001),
  '夜'.repeat(334),
])('%j is no task id', (id) => expect(isTaskId(id)).toBe(false));

test.each(['.', '..', '%2e', '%2E%2e', '%1F', '%1F...', 'a%00', '%zz', '%E0%A4%A', 'operator', ''])(
  'the segment %j names no task',
  (segment) => expect(taskIdIn(segment)).toBeNull(),
);

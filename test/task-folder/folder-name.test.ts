import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { folderNameOf, isFolderName } from '../../src/task-folder/folder-name.js';

const hash = (id: string) => createHash('sha256').update(id).digest('hex').slice(0, 12);

test.each(['a', 't1', 'nightly.2026-11-30', 'A_b-c.', `a${'x'.repeat(127)}`])(
  '%j is its own folder name',
  (id) => {
    expect(folderNameOf(id)).toBe(id);
    expect(isFolderName(id)).toBe(true);
  },
);

test.each([
  ['nightly-2026-11-30T09:43:02Z', '_nightly-2026-11-30T09_43_02Z'],
  ['ticket/123', '_ticket_123'],
  ['repo:branch', '_repo_branch'],
  ['..', '___'],
  ['.', '__'],
  ['_a', '__a'],
  ['%2F', '__2F'],
  ['夜🌙', '____'],
  ['a'.repeat(129), `_${'a'.repeat(80)}`],
  [`${'🌙'.repeat(40)}x`, `_${'_'.repeat(80)}`],
])('%j gets a safe folder name', (id, start) => {
  expect(folderNameOf(id)).toBe(`${start}-${hash(id)}`);
  expect(isFolderName(folderNameOf(id))).toBe(true);
});

test('different ids never share a folder name', () => {
  const ids = [
    'a/b',
    'a:b',
    'a_b',
    '_a_b',
    '..',
    '.',
    '%2F',
    '/',
    '夜',
    '月',
    'A',
    'a',
    ' a',
    'a ',
    '\u00e9',
    'e\u0301',
  ];
  expect(new Set(ids.map(folderNameOf)).size).toBe(ids.length);
  // The name that one id gets is no id that fits.
  expect(folderNameOf(folderNameOf('a/b'))).not.toBe(folderNameOf('a/b'));
});

test.each(['.', '..', '', '_', 'a/b', '_a-00', '.tmp', '_a-000000000000x'])('%j is no folder name', (name) =>
  expect(isFolderName(name)).toBe(false),
);

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { lastLines, openLog, trimLog } from '../../src/codex/codex-log.js';
import { testFolder } from '../support/folders.js';

const logFile = async () => join(await testFolder(), 'codex.log');

test('a long log is cut to its end, and its writer appends behind it', async () => {
  const file = await logFile();
  const log = await openLog(file);
  await log.write(`${'x'.repeat(3_000)}end`);
  await trimLog(file, 2_000);
  await log.write(' after');
  await log.close();
  const content = await readFile(file, 'utf8');
  expect(content).toMatch(/^x+end after$/);
  expect(content).toHaveLength(1_006);
  await trimLog(file, 2_000);
  expect(await readFile(file, 'utf8')).toBe(content);
});

test('trimming and reading a missing log do nothing', async () => {
  const file = await logFile();
  await trimLog(file);
  expect(await lastLines(file, 3)).toBe('');
});

test('the last lines of a log come without colours and secrets', async () => {
  const file = await logFile();
  const token = 'eyJhbGciOi.eyJzdWIiOiIx.c2lnbmF0dXJl';
  const lines = [
    'old',
    '\x1b[31mERROR\x1b[0m http://user:pass@proxy:1/x',
    `token ${token}`,
    'Bearer opaque-text given-one',
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  expect(await lastLines(file, 3, ['given-one', 'x'])).toBe(
    'ERROR http://***@proxy:1/x\ntoken ***\nBearer *** ***',
  );
});

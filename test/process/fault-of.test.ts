import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MongoClient, MongoNetworkError, MongoServerError } from 'mongodb';
import { expect, it } from 'vitest';
import { TaskError } from '../../src/errors.js';
import { NewerFormat } from '../../src/formats.js';
import { faultOf, type FaultKind } from '../../src/process/fault-of.js';
import { testFolder } from '../support/folders.js';

const system = (code: string) => Object.assign(new Error(`${code}: no`), { code });
const caught = async (run: () => unknown): Promise<unknown> => {
  try {
    await run();
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
};

const TABLE: readonly (readonly [string, unknown, FaultKind])[] = [
  ...[
    'EROFS',
    'EACCES',
    'EPERM',
    'ENOSPC',
    'EDQUOT',
    'EMFILE',
    'ENFILE',
    'EIO',
    'ENOMEM',
    'EBUSY',
    'EAGAIN',
  ].map((code) => [code, system(code), 'unknown'] as const),
  ...['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENAMETOOLONG'].map(
    (code) => [code, system(code), 'lasting'] as const,
  ),
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH'].map(
    (code) => [code, system(code), 'outage'] as const,
  ),
  ['a mistake in the code', new TypeError('x is not a function'), 'ours'],
  ['a text that is no JSON', new SyntaxError('Unexpected token'), 'ours'],
  ['a database that lost an index', new MongoServerError({ code: 2, message: 'hint: no index' }), 'unknown'],
  ['a database without a primary', new MongoServerError({ code: 10107, message: 'not primary' }), 'outage'],
  ['a cut wire to it', new MongoNetworkError('connection 3 closed'), 'outage'],
  [
    'a blob that a cut wire keeps',
    new TaskError('Unavailable', 'x', { cause: system('ECONNRESET') }),
    'outage',
  ],
  ['a fetch that found nobody', new TypeError('fetch failed', { cause: system('ECONNREFUSED') }), 'outage'],
  ['no error at all', 'text', 'unknown'],
  ['what a newer worker wrote, which a host of that version reads', new NewerFormat('part', 9), 'lasting'],
];

it.each(TABLE)('%s', (_name, error, fault) => {
  expect(faultOf(error)).toBe(fault);
});

it('knows the errors that the disk and the driver throw', async () => {
  const folder = await testFolder();
  await mkdir(join(folder, 'a'));
  const found = {
    missing: faultOf(await caught(() => readFile(join(folder, 'no'), 'utf8'))),
    aFolder: faultOf(await caught(() => writeFile(join(folder, 'a'), 'x'))),
    noDatabase: faultOf(
      await caught(async () => {
        const client = new MongoClient('mongodb://127.0.0.1:1/x', { serverSelectionTimeoutMS: 100 });
        try {
          await client.db().command({ ping: 1 });
        } finally {
          await client.close();
        }
      }),
    ),
  };
  expect(found).toEqual({ missing: 'lasting', aFolder: 'lasting', noDatabase: 'outage' });
});

import { open, readFile, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { openLedger, readLedger } from '../../src/task-folder/ledger.js';
import { testFolder } from '../support/folders.js';

it('a record that a full disk cut is not joined by the next one', async () => {
  const path = join(await testFolder(), 'ledger.jsonl');
  const ledger = await openLedger(path);
  onTestFinished(() => ledger.close());
  await ledger.write({ t: 'process', incarnation: 1 });
  await tearNextAppend(path);
  await expect(ledger.write({ t: 'turn', messageId: 'torn' })).rejects.toThrow('ENOSPC');
  expect(await readFile(path, 'utf8')).toMatch(/\n\{"t":"tu$/);
  await ledger.write({ t: 'turn', messageId: 'a' });
  expect(await readLedger(path)).toEqual([
    { t: 'process', incarnation: 1 },
    { t: 'turn', messageId: 'a' },
  ]);
});

/** The next append anywhere in this process writes 8 bytes and fails. */
async function tearNextAppend(path: string): Promise<void> {
  const handle = await open(path);
  const prototype = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const append = vi.spyOn(prototype, 'appendFile');
  append.mockImplementationOnce(async function (this: FileHandle, data) {
    await this.write(Buffer.from(data as Uint8Array).subarray(0, 8));
    throw new Error('ENOSPC: no space left on device, write');
  });
  onTestFinished(() => append.mockRestore());
}

it.each([
  ['zeros', '\0\0\0\n'],
  ['a line cut in the middle', '{"t":"turn","mess\n'],
  ['JSON that is no record', 'null\n3\n{}\n'],
])('%s in a ledger drop no other record, and are counted', async (_, damage) => {
  const path = join(await testFolder(), 'ledger.jsonl');
  const [a, b] = ['a', 'b'].map((messageId) => ({ t: 'turn' as const, messageId }));
  await writeFile(path, `${JSON.stringify(a)}\n${damage}${JSON.stringify(b)}\n`);
  const ledger = await openLedger(path);
  onTestFinished(() => ledger.close());
  expect(ledger.past).toEqual([a, b]);
  expect(ledger.damaged).toBe(damage.split('\n').length - 1);
  expect(await readLedger(path)).toEqual([a, b]);
});

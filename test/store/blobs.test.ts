import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { ObjectId } from 'mongodb';
import { expect, test } from 'vitest';
import { deleteBlob, findBlob, openBlob, putBlob, readBlob } from '../../src/store/blobs.js';
import { useStore } from './support.js';

const use = useStore();
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const UNKNOWN_IDS = ['', 'nonsense', 'a'.repeat(24)];
const CHUNK = 255 * 1024;

test.each([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])(
  '%i bytes come back as they were',
  async (size) => {
    const bytes = randomBytes(size);
    const id = await putBlob(use.store, bytes, { filename: 'file', metadata: { name: 'x' } });
    expect(id).toMatch(/^[0-9a-f]{24}$/);
    expect((await readBlob(use.store, id)).equals(bytes)).toBe(true);
    expect(await findBlob(use.store, id)).toEqual({
      id,
      filename: 'file',
      length: size,
      storedAt: expect.any(Date) as Date,
      metadata: { name: 'x', sha256: sha256(bytes) },
    });
  },
);

test('a stream is stored with the hash of what went through', async () => {
  const pieces = Array.from({ length: 40 }, () => randomBytes(100_000));
  const bytes = Buffer.concat(pieces);
  const given = { name: 'x' };
  const id = await putBlob(use.store, Readable.from(pieces), { filename: 'file', metadata: given });
  expect((await findBlob(use.store, id))?.metadata).toEqual({ name: 'x', sha256: sha256(bytes) });
  expect(given).toEqual({ name: 'x' });
  expect((await buffer(await openBlob(use.store, id))).equals(bytes)).toBe(true);
});

test('a failed stream leaves nothing behind', async () => {
  const chunks = use.store.db.collection('fs.chunks');
  const before = await chunks.countDocuments();
  const broken = Readable.from(
    (function* () {
      for (let i = 0; i < 30; i++) yield randomBytes(100_000);
      throw new Error('disk gone');
    })(),
  );
  await expect(putBlob(use.store, broken, { filename: 'broken' })).rejects.toThrow('disk gone');
  expect(await use.store.db.collection('fs.files').countDocuments({ filename: 'broken' })).toBe(0);
  expect(await chunks.countDocuments()).toBe(before);
});

test('an abort ends an upload', async () => {
  const controller = new AbortController();
  const endless = Readable.from(
    (function* () {
      for (let i = 0; ; i++) {
        if (i === 20) controller.abort();
        yield randomBytes(64 * 1024);
      }
    })(),
  );
  const options = { filename: 'aborted', signal: controller.signal };
  await expect(putBlob(use.store, endless, options)).rejects.toMatchObject({ name: 'AbortError' });
  expect(endless.destroyed).toBe(true);
  expect(await use.store.db.collection('fs.files').countDocuments({ filename: 'aborted' })).toBe(0);
});

test('more than the given size is refused before it is read', async () => {
  const id = await putBlob(use.store, Buffer.alloc(11), { filename: 'file' });
  await expect(readBlob(use.store, id, 10)).rejects.toMatchObject({
    code: 'BadInput',
    message: `Blob ${id}: expected at most 10 bytes, got 11`,
  });
  expect(await readBlob(use.store, id, 11)).toHaveLength(11);
});

test.each(UNKNOWN_IDS)('no blob exists for the id %j', async (id) => {
  const missing = { code: 'BadInput', message: `Blob ${JSON.stringify(id)} does not exist` };
  await expect(readBlob(use.store, id)).rejects.toMatchObject(missing);
  await expect(openBlob(use.store, id)).rejects.toMatchObject(missing);
  expect(await findBlob(use.store, id)).toBeNull();
  expect(await deleteBlob(use.store, id)).toBe(false);
});

test('a deletion removes a blob with its chunks', async () => {
  const id = await putBlob(use.store, randomBytes(2 * CHUNK), { filename: 'file' });
  const chunks = use.store.db.collection('fs.chunks');
  const mine = { files_id: new ObjectId(id) };
  expect(await chunks.countDocuments(mine)).toBe(2);
  expect(await deleteBlob(use.store, id)).toBe(true);
  expect(await chunks.countDocuments(mine)).toBe(0);
  expect(await deleteBlob(use.store, id)).toBe(false);
});

test('a blob with a missing or a changed chunk is damaged', async () => {
  const id = await putBlob(use.store, randomBytes(2 * CHUNK), { filename: 'file' });
  const chunks = use.store.db.collection('fs.chunks');
  const first = { files_id: new ObjectId(id), n: 0 };
  await chunks.updateOne(first, { $set: { data: randomBytes(CHUNK) } });
  await expect(readBlob(use.store, id)).rejects.toMatchObject({
    code: 'BadInput',
    message: `Blob ${id} is damaged: its hash differs`,
  });
  await chunks.deleteOne(first);
  await expect(readBlob(use.store, id)).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringContaining('is damaged') as string,
  });
});

import { createHash, randomUUID } from 'node:crypto';
import { mkdir, rename } from 'node:fs/promises';
import { extname, isAbsolute, join } from 'node:path';
import { placesOf } from '../../codex/task-places.js';
import { TaskError } from '../../errors.js';
import { writeOwnFile } from '../../task-folder/own-file.js';
import { openWorkFile, type WorkFile } from '../../workdir/open-work-file.js';
import { WorkFileFault } from '../../workdir/work-file-fault.js';

type Images = readonly { path: string }[] | undefined;

/** Largest image in bytes; a model takes less. */
const MAX_BYTES = 32 * 1024 * 1024;

/** @throws TaskError `BadInput` naming the image of a message that is not a file below `workDir`, or is too large */
export async function checkImages(images: Images, workDir: string): Promise<void> {
  await Promise.all(
    (images ?? []).map(async (image, index) => (await opened(image, index, workDir)).handle.close()),
  );
}

/**
 * Copies the images of a message to where commands can read but not change them: Codex opens a path later and sends
 * its content to the model, and the file may be another by then.
 * @returns the paths of the copies, in order
 * @throws TaskError `BadInput` as above
 */
export async function keepImages(images: Images, workDir: string): Promise<string[]> {
  const folder = join(placesOf(workDir).user, 'images');
  if (images?.length) await mkdir(folder, { recursive: true, mode: 0o700 });
  const kept: string[] = [];
  // One after another, as a hundred at once would take too much memory.
  for (const [index, image] of (images ?? []).entries()) {
    const { handle } = await opened(image, index, workDir);
    try {
      const content = await bytesOf(handle, () => wrong(image.path, index, WHY['too-large']));
      const name = createHash('sha256').update(content).digest('hex').slice(0, 32);
      const path = join(folder, `${name}${/^\.[a-z0-9]{1,8}$/i.exec(extname(image.path))?.[0] ?? ''}`);
      const part = `${path}.${randomUUID()}`;
      await writeOwnFile(part, content);
      await rename(part, path);
      kept.push(path);
    } finally {
      await handle.close();
    }
  }
  return kept;
}

async function opened({ path }: { path: string }, index: number, workDir: string): Promise<WorkFile> {
  if (isAbsolute(path)) throw wrong(path, index, 'which is no relative path');
  const file = await openWorkFile(workDir, path).catch((error: unknown) => {
    throw error instanceof WorkFileFault ? wrong(path, index, WHY[error.kind]) : error;
  });
  if (file.size <= MAX_BYTES) return file;
  await file.handle.close();
  throw wrong(path, index, WHY['too-large']);
}

const WHY = {
  'not-found': 'which is not there',
  forbidden: 'which leads out of it',
  'bad-path': 'which is no file',
  'too-large': `which is over ${MAX_BYTES} bytes`,
} as const;

/** The file may grow during the read. */
async function bytesOf(handle: WorkFile['handle'], tooLarge: () => TaskError): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of handle.createReadStream({ autoClose: false, start: 0, end: MAX_BYTES })) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
  }
  if (size > MAX_BYTES) throw tooLarge();
  return Buffer.concat(chunks);
}

const wrong = (path: string, index: number, why: string): TaskError =>
  new TaskError(
    'BadInput',
    `images[${index}].path: expected a file below work, got ${JSON.stringify(path)}, ${why}`,
  );

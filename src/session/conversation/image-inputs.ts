import { realpath, stat } from 'node:fs/promises';
import { relative, resolve, sep, isAbsolute } from 'node:path';
import { TaskError } from '../../errors.js';

/**
 * The real paths of a message's images.
 * @throws TaskError `BadInput` naming the image that is no file below `workDir`
 */
export async function imagePaths(
  images: readonly { path: string }[] | undefined,
  workDir: string,
): Promise<string[]> {
  const work = await realpath(workDir);
  return Promise.all((images ?? []).map(({ path }, index) => imagePath(path, work, `images[${index}].path`)));
}

async function imagePath(path: string, work: string, name: string): Promise<string> {
  const wrong = (why: string) =>
    new TaskError('BadInput', `${name}: expected a file below work, got ${JSON.stringify(path)}, ${why}`);
  if (isAbsolute(path) || path.includes('\0')) throw wrong('which is no relative path');
  const real = await realpath(resolve(work, path)).catch(() => null);
  if (real === null) throw wrong('which is not there');
  const below = relative(work, real);
  if (below === '' || below === '..' || below.startsWith(`..${sep}`)) throw wrong('which leads out of it');
  if (!(await stat(real)).isFile()) throw wrong('which is no file');
  return real;
}

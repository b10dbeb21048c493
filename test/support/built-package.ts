import { cp, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { askShared } from './ask-shared.js';

/**
 * Lays the package out in `folder` as it is installed, for tests that need a process of ours which is not the test
 * runner. `nodeModules: false` leaves the dependencies to the caller.
 */
export async function buildPackage(folder: string, { nodeModules = true } = {}): Promise<void> {
  const built = await askShared('package');
  const link = (name: string) => symlink(join(built, name), join(folder, name));
  if (nodeModules) await link('node_modules');
  for (const name of ['dev', 'package.json']) await link(name);
  // Node resolves the dependencies of what is linked from where it is.
  if (nodeModules) await link('lib');
  else await cp(join(built, 'lib'), join(folder, 'lib'), { recursive: true });
}

/** The workflow code of a run's build, for workers of the tests' own. */
export const workflowBundle = async (): Promise<{ codePath: string }> => ({
  codePath: join(await askShared('package'), 'lib', 'workflow-bundle.js'),
});

import { cp, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { askShared } from './ask-shared.js';

/**
 * Lays the package out in `folder` as it is installed, for tests that need a process of ours which is not the test
 * runner. `nodeModules: false` leaves the dependencies to the caller.
 */
export async function buildPackage(folder: string, { nodeModules = true } = {}): Promise<void> {
  const built = await askShared('package');
  if (!nodeModules)
    return cp(built, folder, { recursive: true, filter: (from) => !from.endsWith('/node_modules') });
  for (const name of ['node_modules', 'dev', 'package.json', 'lib'])
    await symlink(join(built, name), join(folder, name));
}

/** The workflow code of a run's build, for workers of the tests' own. */
export const workflowBundle = async (): Promise<{ codePath: string }> => ({
  codePath: join(await askShared('package'), 'lib', 'workflow-bundle.js'),
});

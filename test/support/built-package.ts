import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { packageRoot } from '../../src/dev/package-root.js';

/**
 * Lays the package out in `folder` as it is installed: sources built to `lib`, without checking their types.
 * For tests that need a process of ours which is not the test runner. `nodeModules: false` leaves the dependencies
 * to the caller.
 */
export async function buildPackage(folder: string, { nodeModules = true } = {}): Promise<void> {
  for (const name of [...(nodeModules ? ['node_modules'] : []), 'dev', 'package.json'])
    await symlink(join(packageRoot, name), join(folder, name));
  const sources = join(packageRoot, 'src');
  const files = (await readdir(sources, { recursive: true })).filter((name) => name.endsWith('.ts'));
  await Promise.all(
    files.map(async (name) => {
      const { outputText } = ts.transpileModule(await readFile(join(sources, name), 'utf8'), {
        compilerOptions: {
          module: ts.ModuleKind.ESNext,
          target: ts.ScriptTarget.ES2023,
          verbatimModuleSyntax: true,
        },
      });
      const built = join(folder, 'lib', name.replace(/\.ts$/, '.js'));
      await mkdir(dirname(built), { recursive: true });
      await writeFile(built, outputText);
    }),
  );
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { packageRoot } from '../../src/dev/package-root.js';

/**
 * Where the package is built as the sources are now: the build of `npm test`, else one of its own in `folder`, whose
 * types are not checked.
 */
export async function buildForTests(folder: string): Promise<string> {
  if (await isBuilt()) return packageRoot;
  await mkdir(folder);
  for (const name of ['node_modules', 'dev', 'package.json'])
    await symlink(join(packageRoot, name), join(folder, name));
  const sources = join(packageRoot, 'src');
  const files = (await readdir(sources, { recursive: true })).filter((name) => /\.c?ts$/.test(name));
  await Promise.all(
    files.map(async (name) => {
      const { outputText } = ts.transpileModule(await readFile(join(sources, name), 'utf8'), {
        compilerOptions: {
          module: ts.ModuleKind.ESNext,
          target: ts.ScriptTarget.ES2023,
          verbatimModuleSyntax: true,
        },
      });
      const built = join(folder, 'lib', name.replace(/ts$/, 'js'));
      await mkdir(dirname(built), { recursive: true });
      await writeFile(built, outputText);
    }),
  );
  await bundleWorkflows(join(folder, 'lib'));
  return folder;
}

/** The workflow code is what a build makes last. */
async function isBuilt(): Promise<boolean> {
  const built = await stat(join(packageRoot, 'lib', 'workflow-bundle.js')).catch(() => null);
  if (built === null) return false;
  const entries = await readdir(join(packageRoot, 'src'), { recursive: true });
  const changed = await Promise.all(
    entries.map(async (name) => (await stat(join(packageRoot, 'src', name))).mtimeMs),
  );
  return changed.every((mtimeMs) => mtimeMs < built.mtimeMs);
}

/** The workflow code as the build makes it: a worker that starts without it takes seconds. */
async function bundleWorkflows(lib: string): Promise<void> {
  const script = join(packageRoot, 'scripts', 'bundle-workflows.mjs');
  const bundler = spawn(process.execPath, [script, lib], { stdio: 'ignore', cwd: packageRoot });
  const [code] = (await once(bundler, 'exit')) as [number | null];
  if (code !== 0) throw new Error('the workflow code cannot be bundled');
}

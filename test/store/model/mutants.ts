import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import type * as BackendsModule from './backends.js';
import type * as ModelModule from './model.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** Packages are found from here. */
const CACHE = join(ROOT, 'node_modules/.cache/model-mutants');

/** A text of `src/store` and what stands in its place. */
export type Change = readonly [from: string, to: string];

/** What runs a mutant: the model, and the database that it works on. */
export interface Mutant {
  runModel: typeof ModelModule.runModel;
  memoryBackend: typeof BackendsModule.memoryBackend;
}

/** The model and what it imports as plain modules, once, so that each mutant is a copy with one file of its own. */
export async function openMutants() {
  const place = join(CACHE, `${process.pid}`);
  const plain = join(place, 'plain');
  await rm(place, { recursive: true, force: true });
  const seen = new Set<string>();
  const visit = async (file: string): Promise<void> => {
    if (seen.has(file)) return;
    seen.add(file);
    const source = await readFile(file, 'utf8');
    await write(plain, file, source);
    const named = [...source.matchAll(/^(?:import|export) [^;]*? from '(\.[^']*)\.js';/gms)];
    const isCode = ([text]: RegExpMatchArray) => !text.startsWith('import type');
    for (const each of named.filter(isCode)) await visit(join(dirname(file), `${each[1]!}.ts`));
    for (const each of source.matchAll(/^import '(\.[^']*)\.js';/gm))
      await visit(join(dirname(file), `${each[1]!}.ts`));
  };
  const model = join(ROOT, 'test/store/model');
  for (const each of ['model.ts', 'backends.ts', 'blob-steps.ts']) await visit(join(model, each));
  await wrapBlobs(plain);
  let count = 0;
  return {
    /** @throws Error when a text is not there exactly once */
    async make(file: string, changes: readonly Change[]): Promise<Mutant> {
      const target = join(place, `${++count}`);
      await cp(plain, target, { recursive: true });
      const path = join(ROOT, 'src/store', `${file}.ts`);
      let source = await readFile(path, 'utf8');
      for (const [from, to] of changes) {
        if (source.split(from).length !== 2)
          throw new Error(`src/store/${file}.ts: expected once ${JSON.stringify(from)}`);
        source = source.replace(from, () => to);
      }
      await write(target, path, source);
      const load = (name: string) =>
        import(
          /* @vite-ignore */ pathToFileURL(join(target, 'test/store/model', name)).href
        ) as Promise<unknown>;
      const { runModel } = (await load('model.js')) as typeof ModelModule;
      const { memoryBackend } = (await load('backends.js')) as typeof BackendsModule;
      return { runModel, memoryBackend };
    },
    close: () => rm(place, { recursive: true, force: true }),
  };
}

async function write(to: string, file: string, source: string): Promise<void> {
  const compilerOptions = {
    module: ts.ModuleKind.ESNext,
    target: ts.ScriptTarget.ES2022,
    verbatimModuleSyntax: true,
  };
  const { outputText } = ts.transpileModule(source, { compilerOptions });
  const path = join(to, relative(ROOT, file).replace(/\.ts$/, '.js'));
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, outputText);
}

/** As the mock of the model's tests does. */
async function wrapBlobs(plain: string): Promise<void> {
  await writeFile(join(plain, 'package.json'), '{"type":"module"}');
  const store = join(plain, 'src/store');
  await cp(join(store, 'blobs.js'), join(store, 'actual-blobs.js'));
  await writeFile(
    join(store, 'blobs.js'),
    `import * as actual from './actual-blobs.js';
import { withModelBlobs } from '../../test/store/model/blob-steps.js';
export const { putBlob, readBlob, findBlob, deleteBlob, openBlob, blobsOfTask } = withModelBlobs(actual);
`,
  );
}

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createContext, runInContext, type Context } from 'node:vm';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { packageRoot } from '../../src/dev/package-root.js';
import { createView, type ViewSnapshot } from '../../src/view/index.js';
import { realJournals } from './journals.js';

const FOLDER = join(packageRoot, 'src/view');
const COMPILED = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2023 };

/** The files of the view as modules that reach each other and nothing else. */
function loadInto(context: Context): (name: string) => Record<string, unknown> {
  const texts = new Map(
    readdirSync(FOLDER).map((file) => [file.replace('.ts', '.js'), readFileSync(join(FOLDER, file), 'utf8')]),
  );
  const loaded = new Map<string, Record<string, unknown>>();
  const load = (name: string): Record<string, unknown> => {
    const path = name.replace('./', '');
    const known = loaded.get(path);
    if (known) return known;
    const text = texts.get(path);
    if (text === undefined) throw new Error(`${name} is none of the view's own files`);
    const exports: Record<string, unknown> = {};
    loaded.set(path, exports);
    const { outputText } = ts.transpileModule(text, { compilerOptions: COMPILED });
    const run = runInContext(`(exports, require) => {${outputText}}`, context) as (
      exports: object,
      require: typeof load,
    ) => void;
    run(exports, load);
    return exports;
  };
  return load;
}

it('a view imports no module and needs nothing of Node or a browser', () => {
  const context = createContext({});
  expect(runInContext('typeof process + typeof Buffer + typeof URL + typeof setTimeout', context)).toBe(
    'undefined'.repeat(4),
  );
  const make = loadInto(context)('./index.js')['createView'] as typeof createView;
  for (const journal of realJournals.values()) {
    const [there, here] = [make(), createView()];
    for (const event of journal) {
      there.apply(event);
      here.apply(event);
    }
    expect(JSON.parse(JSON.stringify(there.snapshot())) as ViewSnapshot).toEqual(here.snapshot());
  }
});

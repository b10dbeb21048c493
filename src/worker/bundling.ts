import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { BundleOptions, WorkflowBundleOption } from '@temporalio/worker';
import { TaskError } from '../errors.js';

/** As a module that stands for the caller's workflows. */
const CALLERS = 'codex-task-callers-workflows';

const inSources = !existsSync(file('../workflows/index.js'));
const code = (path: string): string => file(`${path}.${inSources ? 'ts' : 'js'}`);

/** Our workflows alone, for a worker that has none of its own. */
export const OUR_WORKFLOWS = code('../workflows/index');
const WITH_CALLERS = file(`../workflows/with-callers.${inSources ? 'cts' : 'cjs'}`);
const INTERCEPTORS = code('../workflows/callers-interceptors');
const PAYLOADS = code('../workflows/callers-payload-converter');
const FAILURES = code('../codec/workflow-failure-converter');
/** Of one of our interceptors: a bundle without it was made without them. */
const MARK = 'codexTask.signals';

/**
 * Options of a caller's bundle with our workflows among its own, and what those need: their interceptors, and converters
 * where the caller has none.
 */
export function withOurWorkflows(options: BundleOptions): BundleOptions {
  const { workflowsPath, workflowInterceptorModules = [], webpackConfigHook } = options;
  // One plugin may come twice: by the worker, and by its connection.
  if (workflowInterceptorModules.includes(INTERCEPTORS)) return options;
  return {
    ...options,
    workflowsPath: workflowsPath === OUR_WORKFLOWS ? OUR_WORKFLOWS : WITH_CALLERS,
    workflowInterceptorModules: [...workflowInterceptorModules, INTERCEPTORS],
    payloadConverterPath: options.payloadConverterPath ?? PAYLOADS,
    failureConverterPath: options.failureConverterPath ?? FAILURES,
    webpackConfigHook(config) {
      const theirs = webpackConfigHook?.(config) ?? config;
      const { alias } = theirs.resolve ?? {};
      const others = Array.isArray(alias) ? alias : Object.entries(alias ?? {}).map(asEntry);
      const ours = { name: CALLERS, alias: workflowsPath, onlyModule: true };
      return { ...theirs, resolve: { ...theirs.resolve, alias: [...others, ours] } };
    },
  };
}

/** Webpack's other way to write an alias. */
const asEntry = <T>([key, alias]: [string, T]) => ({
  name: key.replace(/\$$/, ''),
  alias,
  onlyModule: key.endsWith('$'),
});

/** @throws TaskError `BadInput` for a bundle that was made without the plugin */
export async function requireOurWorkflows(bundle: WorkflowBundleOption): Promise<void> {
  const text = 'code' in bundle ? bundle.code : await readFile(bundle.codePath, 'utf8');
  if (text.includes(MARK)) return;
  throw new TaskError(
    'BadInput',
    'The workflowBundle lacks the workflows of codex-task-worker: give codexTaskPlugin to bundleWorkflowCode too',
  );
}

function file(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

// Bundles the workflow code once at build time, so that a worker starts without webpack.
// usage: bundle-workflows.mjs [folder of the compiled code]
import { readdir, rename, stat, utimes, writeFile } from 'node:fs/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [, , folder] = process.argv;
const lib = folder ? pathToFileURL(`${folder}/`) : new URL('../lib/', import.meta.url);
const file = (path) => fileURLToPath(new URL(path, lib));
const bundle = new URL('workflow-bundle.js', lib);
if (!(await isNewest())) await makeBundle();

/** It is as old as what it is made of, and there as a whole or not at all. */
async function makeBundle() {
  const begun = new Date();
  const { bundleWorkflowCode } = await import('@temporalio/worker');
  const { code } = await bundleWorkflowCode({
    workflowsPath: file('workflows/index.js'),
    workflowInterceptorModules: ['query-safety-interceptor', 'signal-batch-interceptor'].map((name) =>
      file(`workflows/${name}.js`),
    ),
    payloadConverterPath: file('codec/payload-converter.js'),
    failureConverterPath: file('codec/workflow-failure-converter.js'),
    logger: { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error },
  });
  const unfinished = new URL(`workflow-bundle.${process.pid}.tmp`, lib);
  await writeFile(unfinished, code);
  await utimes(unfinished, begun, begun);
  await rename(unfinished, bundle);
}

/** Whether neither the code that it is made of nor the packages below that have changed since. */
async function isNewest() {
  const changed = async (url) => (await stat(url).catch(() => null))?.mtimeMs ?? Infinity;
  const names = (await readdir(lib, { recursive: true })).filter((name) => name.endsWith('.js'));
  const parts = [
    ...names.map((name) => new URL(name, lib)),
    new URL('../package-lock.json', import.meta.url),
  ];
  const made = (await stat(bundle).catch(() => null))?.mtimeMs ?? 0;
  const times = await Promise.all([...parts, import.meta.url].map((part) => changed(new URL(part))));
  return times.every((time) => time <= made);
}

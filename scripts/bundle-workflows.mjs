// Bundles the workflow code once at build time, so that a worker starts without webpack.
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

const lib = new URL('../lib/', import.meta.url);
const { code } = await bundleWorkflowCode({
  workflowsPath: fileURLToPath(new URL('workflows/index.js', lib)),
  workflowInterceptorModules: [fileURLToPath(new URL('workflows/whole-tasks.js', lib))],
  logger: { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error },
});
await writeFile(new URL('workflow-bundle.js', lib), code);

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, type WorkflowBundleOption } from '@temporalio/worker';
import { withEncodedFailures } from '../codec/workflow-code.js';

/** The bundle that the build made, or one made now. */
export async function workflowCode(encrypts: boolean): Promise<{ workflowBundle: WorkflowBundleOption }> {
  const codePath = file('../workflow-bundle.js');
  const isBuilt = existsSync(codePath);
  if (isBuilt && !encrypts) return { workflowBundle: { codePath } };
  const code = isBuilt ? await readFile(codePath, 'utf8') : await bundleFromSources();
  return { workflowBundle: { code: encrypts ? withEncodedFailures(code) : code } };
}

async function bundleFromSources(): Promise<string> {
  const ending = existsSync(file('../workflows/index.js')) ? 'js' : 'ts';
  const { code } = await bundleWorkflowCode({
    workflowsPath: file(`../workflows/index.${ending}`),
    workflowInterceptorModules: ['query-safety-interceptor', 'signal-batch-interceptor'].map((name) =>
      file(`../workflows/${name}.${ending}`),
    ),
    payloadConverterPath: file(`../codec/payload-converter.${ending}`),
    failureConverterPath: file(`../codec/workflow-failure-converter.${ending}`),
  });
  return code;
}

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

import type { Client } from '@temporalio/client';
import { lookingClient } from './looking-client.js';
import { CODEX_TASK, type CodexTaskInput } from '../contract/index.js';

/** The inputs that running tasks were started with, as their histories have them. */
export async function* runningInputs(
  client: Client,
): AsyncGenerator<{ taskId: string; input: CodexTaskInput }> {
  const { namespace, loadedDataConverter } = client.options;
  const { payloadCodecs, payloadConverter } = loadedDataConverter;
  const query = `WorkflowType = '${CODEX_TASK}' AND ExecutionStatus = 'Running'`;
  for await (const { workflowId, runId } of lookingClient(client).workflow.list({ query })) {
    const { history } = await client.workflowService.getWorkflowExecutionHistory({
      namespace,
      execution: { workflowId, runId },
      maximumPageSize: 1,
    });
    let payloads = history?.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
    for (const codec of payloadCodecs.toReversed()) payloads = await codec.decode(payloads);
    const [first] = payloads;
    const input = first && payloadConverter.fromPayload<CodexTaskInput | null>(first);
    if (input) yield { taskId: workflowId, input };
  }
}

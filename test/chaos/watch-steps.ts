import type { Client } from '@temporalio/client';

/** Tells each activity of a workflow when it is scheduled, in order, the past ones first; until the signal ends it. */
export async function watchSteps(
  client: Client,
  workflowId: string,
  scheduled: (activityType: string) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { namespace } = client.options;
  let nextPageToken: Uint8Array | null = null;
  while (!signal.aborted) {
    const page: Awaited<ReturnType<Client['workflowService']['getWorkflowExecutionHistory']>> =
      await client.withAbortSignal(signal, () =>
        client.workflowService.getWorkflowExecutionHistory({
          namespace,
          execution: { workflowId },
          waitNewEvent: true,
          nextPageToken,
        }),
      );
    for (const event of page.history?.events ?? []) {
      const name = event.activityTaskScheduledEventAttributes?.activityType?.name;
      if (name) await scheduled(name);
    }
    if (!page.nextPageToken?.length) return;
    nextPageToken = page.nextPageToken;
  }
}

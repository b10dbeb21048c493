import { connectTemporal, createTaskClient } from 'codex-task-worker';

const { client: temporal } = await connectTemporal(process.env);
const client = createTaskClient({ client: temporal });
await client.start('task-1', {
  prompt: 'Write the report',
  hostProtocol: true,
  hooks: {
    beforeExecute: { taskQueue: 'my-hooks', activityType: 'checkBudget' },
    onDeliverable: { taskQueue: 'my-hooks', activityType: 'reviewFile', timeoutMs: 120_000 },
  },
});

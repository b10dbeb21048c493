import { connectTemporal, createTaskClient } from 'codex-task-worker';

const link = await connectTemporal(process.env);
const tasks = createTaskClient({
  client: link.client,
  listenerSecret: process.env.CODEX_TASK_LISTENER_SECRET, // only for events()
});
const task = await tasks.start('fix-42', {
  prompt: 'Fix the failing test',
  credential: { pool: 'default' },
});
for await (const { event } of task.events()) {
  if (String(event['method']).endsWith('/requestApproval'))
    await task.decide({ requestId: String(event['id']), behavior: 'allow' });
}
console.log((await task.result()).finalMessage);
await link.close();

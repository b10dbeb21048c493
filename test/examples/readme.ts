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
for await (const { name, event } of task.events()) {
  switch (name) {
    case 'item/commandExecution/requestApproval':
    case 'item/fileChange/requestApproval':
      await task.decide({ requestId: event.id, behavior: 'allow' });
      break;
    case 'turn/completed':
      if (event.params.turn.error) console.error(event.params.turn.error.message);
      break;
    default: // there is more
  }
}
console.log((await task.result()).finalMessage);
await link.close();

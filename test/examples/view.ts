import { connectTemporal, createTaskClient } from 'codex-task-worker';
import { createView } from 'codex-task-worker/view';

const { client } = await connectTemporal(process.env);
const task = createTaskClient({
  client,
  listenerSecret: process.env.CODEX_TASK_LISTENER_SECRET,
}).handle('fix-42');

const view = createView();
for await (const event of task.events()) {
  view.apply(event);
  for (const { requestId, method } of view.requests) console.log(`${requestId} waits: ${method}`);
}
console.log(view.state.ended?.outcome, view.usage.totalTokens);

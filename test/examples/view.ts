import { connectTemporal, createTaskClient } from 'codex-task-worker';

const { client } = await connectTemporal(process.env);
const task = createTaskClient({
  client,
  listenerSecret: process.env.CODEX_TASK_LISTENER_SECRET,
}).handle('fix-42');

for await (const view of task.view()) {
  console.log(view.state.phase, view.requests.length, view.items.at(-1)?.kind);
}
